"""From `module:app` to the app, and what is said when there is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.errors import ConfigError
from headway.job import Succeeded
from headway.push import receiver
from headway.runtime.loading import load_app, path_of
from headway.runtime.worker import Worker
from headway.testing import inline
from tests.unit.push_scene import FakePush, post

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


# --- include ----------------------------------------------------------------------------------------------------


def split(folder: Path, include: str) -> None:
    """Write an app whose tasks stand in other modules, which import the one that makes it."""
    (folder / "lt_shop").mkdir()
    (folder / "lt_shop/__init__.py").write_text("")
    (folder / "lt_shop/app.py").write_text(f"from headway import Headway\napp = Headway('shop'{include})\n")
    for name in ("jobs", "mail"):
        (folder / f"lt_shop/{name}.py").write_text(
            f"from lt_shop.app import app\n@app.task\ndef {name}(): ...\n"
        )


WHOLE = {"lt_shop.jobs.jobs", "lt_shop.mail.mail"}


def test_included_modules_are_imported_by_whoever_needs_the_tasks(tmp_path: Path) -> None:
    split(tmp_path, ", include=['lt_shop.jobs', 'lt_shop.mail']")
    app = load_app("lt_shop.app:app")
    assert set(app.tasks) == WHOLE
    assert set(app.import_included().tasks) == WHOLE  # each once
    assert path_of(app) == "lt_shop.jobs:app"


def test_making_the_app_imports_none_of_them() -> None:
    assert not Headway("shop", include=["lt_shop.jobs"]).tasks


def test_a_variable_or_the_file_may_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split(tmp_path, "")
    monkeypatch.setenv("HEADWAY_INCLUDE", "lt_shop.jobs,lt_shop.mail")
    assert set(load_app("lt_shop.app:app").tasks) == WHOLE
    monkeypatch.delenv("HEADWAY_INCLUDE")
    (tmp_path / "headway.toml").write_text('include = ["lt_shop.jobs"]')
    assert Headway("file").settings.include == ["lt_shop.jobs"]


async def test_workers_receivers_and_tests_have_the_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lt_late.py").write_text(
        "import sys\napp = sys.modules['__main__'].lt_app\n@app.task(name='late', queue='late')\ndef late(): ...\n"
    )

    def made() -> Headway:
        sys.modules.pop("lt_late", None)
        app = Headway("late", url=f"sqlite:///{tmp_path / 'late.db'}", include=["lt_late"])
        monkeypatch.setattr(sys.modules["__main__"], "lt_app", app, raising=False)
        return app

    async with inline(made()) as box:
        assert set(box.app.tasks) == {"late"}
    async with (app := made()):
        assert Worker(app).queues == ["late"]
    fake = FakePush()
    pushed = Headway("late", carrier=fake.carrier, include=["lt_late"])
    sys.modules.pop("lt_late", None)
    monkeypatch.setattr(sys.modules["__main__"], "lt_app", pushed, raising=False)
    made_receiver = receiver(pushed, handle_sigterm=False)
    assert not pushed.tasks
    async with made_receiver:
        assert (await post(made_receiver, "late")).status == 200
    assert isinstance(fake.the_outcome("late"), Succeeded)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("lt_absent", "include: there is no module 'lt_absent' here"),
        ("lt_absent.jobs", "include: 'lt_absent.jobs' cannot be imported: there is no module 'lt_absent'"),
        ("lt_package.absent", "include: there is no module 'lt_package.absent' here"),
    ],
)
def test_an_included_module_that_is_not_there_is_named(tmp_path: Path, module: str, told: str) -> None:
    split(tmp_path, f", include=['{module}']")
    with pytest.raises(ConfigError, match=told):
        load_app("lt_shop.app:app")


@pytest.mark.parametrize(
    ("module", "error"), [("lt_broken", ZeroDivisionError), ("lt_needy", ModuleNotFoundError)]
)
def test_what_an_included_module_raises_names_it(tmp_path: Path, module: str, error: type[Exception]) -> None:
    split(tmp_path, f", include=['{module}']")
    with pytest.raises(error) as raised:
        load_app("lt_shop.app:app")
    assert raised.value.__notes__ == [
        f"raised while {module!r} was imported, which the setting include names"
    ]


@pytest.mark.parametrize("module", ["shop/jobs.py", ".jobs", "shop..jobs", "", "shop.jobs:app"])
def test_what_is_no_name_of_a_module_is_refused(module: str) -> None:
    with pytest.raises(ConfigError, match=r"is no name of a module, such as shop\.jobs"):
        Headway("shop", include=[module])
