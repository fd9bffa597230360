"""CONTRIBUTING.md maps the source: each package has one line, each module beside them is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import headway
from tests.docs.samples import ROOT

SOURCE: Final = Path(headway.__file__).parent
PAGE: Final = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LAYOUT: Final = PAGE.partition("\n## Layout\n")[2].partition("\n## ")[0]


def test_each_package_has_one_line() -> None:
    rows = re.findall(r"^\| `([a-z_/]+)/` \| .+ \|$", LAYOUT, re.MULTILINE)
    packages = {str(path.parent.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")} - {"."}
    assert rows == sorted(packages), "CONTRIBUTING.md, Layout: one line for each package, sorted"


def test_each_module_beside_the_packages_is_named() -> None:
    sentence = LAYOUT.partition("The modules beside them")[2].partition(".\n")[0]
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__"}
    assert re.findall(r"`(\w+)`", sentence) == sorted(modules), (
        "CONTRIBUTING.md, Layout: the modules beside the packages"
    )


def test_no_name_is_used_up_for_leftovers() -> None:
    empty = {"utils", "util", "helpers", "common", "misc", "manager"}
    assert [path for path in SOURCE.rglob("*.py") if path.stem in empty] == []
