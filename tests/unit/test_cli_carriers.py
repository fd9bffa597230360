"""`--carriers`: what a shell offers, and what is refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import ShellComplete

from headway.cli.root import cli
from headway.errors import ConfigError
from headway.runtime.carriers import chosen

if TYPE_CHECKING:
    from pathlib import Path

APP = """
from types import SimpleNamespace
from headway import Headway
pull = SimpleNamespace(capabilities=SimpleNamespace(pull=object(), push=None))
push = SimpleNamespace(capabilities=SimpleNamespace(pull=None, push=object()))
app = Headway("shop", carrier={"main": pull, "east": pull, "push": push})
"""
PULLS = {"main": True, "east": True, "push": False}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "carriers_shop.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "carriers_shop", raising=False)
    return "carriers_shop:app"


@pytest.mark.parametrize(
    ("command", "begun", "offered"),
    [
        ("worker", "", ["main", "east"]),
        ("worker", "e", ["east"]),
        ("worker", "main,", ["main,east"]),
        ("dev", "m", ["main"]),
    ],
)
def test_a_shell_offers_the_carriers_of_the_app(
    shop: str, command: str, begun: str, offered: list[str]
) -> None:
    complete = ShellComplete(cli, {}, "headway", "_HEADWAY_COMPLETE")
    found = complete.get_completions([command, shop, "--carriers"], begun)
    assert [one.value for one in found] == offered


def test_an_app_that_cannot_be_imported_offers_nothing() -> None:
    complete = ShellComplete(cli, {}, "headway", "_HEADWAY_COMPLETE")
    assert complete.get_completions(["worker", "no.such:app", "--carriers"], "") == []


def test_carriers_are_chosen_in_the_order_of_the_app() -> None:
    assert chosen(PULLS, None, pull=True) == ["main", "east"]
    assert chosen(PULLS, ["east", "main"], pull=True) == ["main", "east"]
    assert chosen(PULLS, None, pull=False) == ["push"]


@pytest.mark.parametrize(
    ("pulls", "names", "pull", "said"),
    [
        (PULLS, ["north"], True, "none of the name 'north'; it has main, east, push"),
        (PULLS, [], True, "none is named"),
        (PULLS, ["main", "push"], True, "carrier 'push' pushes its jobs.*`headway push --carriers push`"),
        (PULLS, ["east"], False, "carrier 'east' pushes no jobs.*`headway worker --carriers east`"),
        ({"main": False}, None, True, "the app's carrier pushes its jobs.*`headway push`"),
        ({"main": True}, None, False, "the app's carrier pushes no jobs.*`headway worker`"),
        ({"a": False, "b": False}, None, True, "carrier 'a' pushes its jobs.*`headway push --carriers a`"),
    ],
)
def test_what_cannot_be_served_is_refused_with_what_can(
    pulls: dict[str, bool], names: list[str] | None, pull: bool, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        chosen(pulls, names, pull=pull)
