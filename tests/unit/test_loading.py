"""From `module:app` to the app, and what is said when there is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headway.errors import ConfigError
from headway.runtime.loading import load_app, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = """
from headway import Headway
app = Headway("first")
second = Headway("second")

class Place:
    app = Headway("inside")

number = 3

@app.task(name="t")
def t(): ...
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "lt_jobs.py").write_text(SOURCE)
    (tmp_path / "lt_broken.py").write_text("1 / 0")
    (tmp_path / "lt_needy.py").write_text("import lt_not_there")
    (tmp_path / "lt_package").mkdir()
    (tmp_path / "lt_package/__init__.py").write_text("")
    (tmp_path / "lt_package/jobs.py").write_text(SOURCE)
    yield
    for name in [name for name in sys.modules if name.startswith("lt_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lt_jobs:app", "first"),
        ("lt_jobs:second", "second"),
        ("lt_jobs:Place.app", "inside"),
        ("lt_package.jobs:app", "first"),
    ],
)
def test_an_app_is_found_in_the_working_directory(path: str, name: str) -> None:
    assert load_app(path).name == name


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("lt_jobs", "write it as module:name"),
        ("", "write it as module:name"),
        (":app", "write it as module:name"),
        ("lt_jobs:", "write it as module:name"),
        ("lt_absent:app", "there is no module 'lt_absent'"),
        ("lt_package.absent:app", "there is no module 'lt_package.absent'"),
        ("lt_jobs:ap", r"'ap' in 'lt_jobs' is not a Headway app; it has app, second"),
        ("lt_jobs:number", "'number' in 'lt_jobs' is not a Headway app"),
        ("lt_package:app", "'app' in 'lt_package' is not a Headway app$"),
        ("lt_jobs:app.name.x", "is not a Headway app"),
        (".lt_jobs:app", "write it as module:name"),
    ],
)
def test_what_is_wrong_with_a_path_is_said(path: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_app(path)


def test_what_the_module_itself_raises_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        load_app("lt_broken:app")
    with pytest.raises(ModuleNotFoundError, match="lt_not_there"):
        load_app("lt_needy:app")


def test_the_path_of_an_app_leads_back_to_it() -> None:
    app = load_app("lt_package.jobs:app")
    assert path_of(app) == "lt_package.jobs:app"
    assert path_of(load_app("lt_jobs:second")) is None
