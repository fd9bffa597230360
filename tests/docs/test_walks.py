"""docs/explanation/walks.md leads through files and functions that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

import headway
from tests.docs.samples import ROOT

SOURCE: Final = Path(headway.__file__).parent
PAGE: Final = (ROOT / "docs" / "explanation" / "walks.md").read_text(encoding="utf-8")
_NAMED: Final = re.compile(r"`(?P<path>[a-z_/]+\.(?:py|lua))`(?:\s+`(?P<name>[\w.]+)`)?")
_FURTHER: Final = re.compile(r"(?:\(|by\s+)`(?P<name>[A-Z]\w+\.\w+)`")  # of the file named last
_WALKS: Final = {
    title: text
    for title, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


def steps(walk: str) -> list[str]:
    return re.findall(r"^\d+\. (.*(?:\n +.*)*)", walk, re.MULTILINE)


def names(path: Path) -> set[str]:
    """Return the functions, classes and methods of a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".lua":
        return set(re.findall(r"^(?:local )?function (\w+)", text, re.MULTILINE))
    found: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{one.name}"
                for one in node.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def missing(text: str) -> list[str]:
    """Return what the text names and the source has not."""
    found = list(_NAMED.finditer(text))
    lacking = []
    for number, one in enumerate(found):
        path = SOURCE / one["path"]
        if not path.is_file():
            lacking.append(one["path"])
            continue
        until = found[number + 1].start() if number + 1 < len(found) else len(text)
        further = [name["name"] for name in _FURTHER.finditer(text, one.end(), until)]
        lacking += [
            f"{one['path']} {name}" for name in [one["name"], *further] if name and name not in names(path)
        ]
    return lacking


@pytest.mark.parametrize("walk", _WALKS)
def test_what_a_walk_names_is_there(walk: str) -> None:
    assert missing(_WALKS[walk]) == []


@pytest.mark.parametrize("walk", ["One job on Redis", "One job by push"])
def test_a_walk_has_ten_steps_and_each_begins_in_a_file(walk: str) -> None:
    found = steps(_WALKS[walk])
    assert len(found) == 10
    assert all(step.startswith("`") and _NAMED.match(step) for step in found)


def test_what_is_not_there_is_found() -> None:
    assert missing("`app/nothing.py` `f`") == ["app/nothing.py"]
    assert missing("`app/task.py` `TaskCall.dequeue` does") == ["app/task.py TaskCall.dequeue"]
    assert missing("`app/task.py` `TaskCall.enqueue` does it (`TaskCall.gone`)") == [
        "app/task.py TaskCall.gone"
    ]
    assert missing("`brokers/redis/lua/claim.lua` `no_such`") == ["brokers/redis/lua/claim.lua no_such"]
