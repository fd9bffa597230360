"""The reference pages, the promises and the diagram name what there is in the code, and leave nothing out."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

import headway
from headway import errors
from headway.brokers.sqlite.file import schema
from headway.job import TRANSITIONS
from tests.docs.samples import ROOT

DOCS = ROOT / "docs"
API = (DOCS / "reference/api.md").read_text(encoding="utf-8")
ERRORS = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", API, re.MULTILINE | re.DOTALL))


def own_members(kind: type) -> dict[str, Any]:
    """What a class says in public: its own attributes, and those that its instances are given."""
    slots = dict.fromkeys(getattr(kind, "__slots__", ()))
    return {name: member for name, member in {**slots, **vars(kind)}.items() if not name.startswith("_")}


def parameters(callable_: Any) -> list[str]:
    try:
        names = inspect.signature(callable_).parameters
    except (TypeError, ValueError):
        return []
    return [name for name in names if not name.startswith("_") and name not in {"self", "function"}]


def test_every_public_name_has_a_section_with_a_sample() -> None:
    assert set(SECTIONS) == set(headway.__all__)
    for name, section in SECTIONS.items():
        assert "```python" in section, name
        assert re.search(rf"\b{name}\b", section.split("```python")[1], re.IGNORECASE), name


@pytest.mark.parametrize(
    "name", sorted({"Context", "Headway", "JobHandle", "Retry", "SyncJobHandle", "Task", "Unique"})
)
def test_the_section_names_every_member_and_every_argument(name: str) -> None:
    kind = getattr(headway, name)
    fields = {"Retry": set(parameters(kind)) - {"delays"}, "Unique": set()}.get(name, set())
    for member, value in own_members(kind).items():
        if member in fields:
            continue
        assert re.search(rf"\b{member}\b", SECTIONS[name]), member
        if (
            inspect.isfunction(value)
            and f"`{member}(" in SECTIONS[name]
            and f"{member}(..." not in SECTIONS[name]
        ):
            for parameter in parameters(value):
                assert re.search(rf"\b{parameter}\b", SECTIONS[name]), f"{member}({parameter})"


@pytest.mark.parametrize("name", ["Headway", "Retry", "RetryLater", "Discard", "Unique"])
def test_what_users_make_shows_its_arguments(name: str) -> None:
    for parameter in parameters(getattr(headway, name)):
        assert re.search(rf"\b{parameter}\b", SECTIONS[name]), parameter


def test_the_tree_of_errors_is_the_one_of_the_code() -> None:
    def drawing(text: str) -> list[tuple[str, str]]:
        lines = text.split("```")[1].splitlines()
        return [
            (found[1], found[2]) for line in lines if (found := re.match(r"([│├└─ ]*)(\w+Error)\b", line))
        ]

    assert drawing(ERRORS) == drawing(errors.__doc__ or "")


def test_every_error_is_explained_with_the_builtin_that_it_also_is() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", ERRORS, re.MULTILINE))
    for name, kind in vars(errors).items():
        if (
            inspect.isclass(kind)
            and issubclass(kind, errors.HeadwayError)
            and kind is not errors.HeadwayError
        ):
            builtin = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"]
            assert re.findall(r"\w+", rows[name]) == builtin, name


def test_every_key_of_the_scripts_is_listed() -> None:
    page = (DOCS / "reference/redis-keys.md").read_text(encoding="utf-8")
    scripts = (ROOT / "src/headway/brokers/redis/lua").rglob("*.lua")
    used = {
        key
        for script in scripts
        for key in re.findall(r"P \.\. '([^']+)'", script.read_text(encoding="utf-8"))
    }
    listed = set(re.findall(r"`([a-zA-Z:]+)(?:<\w+>)?(?::?<\w+>)*`", page))
    assert len(used) > 30
    assert used - {"done:"} - listed == set()


def test_every_table_is_listed() -> None:
    page = (DOCS / "reference/sqlite.md").read_text(encoding="utf-8").split("## The tables")[1]
    tables = set(re.findall(r"CREATE TABLE (\w+)", "".join(schema.MIGRATIONS)))
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == tables


def test_the_tests_that_show_the_promises_exist() -> None:
    page = (DOCS / "explanation/promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 20
    for path, test in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        found = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert test in found, f"{path}::{test}"


def test_the_promises_have_the_same_words_wherever_they_stand() -> None:
    def words(text: str) -> str:
        return " ".join(re.findall(r"[\w+]+", text)).casefold()

    page = (DOCS / "explanation/promises.md").read_text(encoding="utf-8")
    told = {
        number: (words(title + quote), words(quote))
        for number, title, quote in re.findall(r"^## (\d)\. (.*\n)\n((?:> .*\n)+)", page, re.MULTILINE)
    }
    section = (
        (DOCS / "explanation/states.md")
        .read_text(encoding="utf-8")
        .split("## The promises\n")[1]
        .split("The rest of")[0]
    )
    states = re.findall(r"^(\d)\. (.*?)(?=^\d\. |\Z)", section, re.MULTILINE | re.DOTALL)
    assert [number for number, _ in states] == sorted(told) == list("12345678")
    for number, promise in states:
        assert words(promise) in told[number]


def test_the_picture_of_the_states_has_an_arrow_for_every_transition_and_no_other() -> None:
    picture = (DOCS / "explanation/states.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r'id="(\w+)-(\w+)"', picture))
    assert drawn == {
        (str(source), str(target)) for source, targets in TRANSITIONS.items() for target in targets
    }


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1]
    listed = set(re.findall(r"([\w/-]+\.md)\b", navigation))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
