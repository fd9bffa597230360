"""One rule for the exit codes of all commands, old and coming: `headway/cli/failures.py` and docs/reference/cli.md."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from headway.cli.root import cli
from headway.errors import UnknownTaskError
from headway.job import new_job_id
from tests.unit.cli_commands import GROUPS, LEAVES, has_option, takes

if TYPE_CHECKING:
    from click.testing import Result

    from tests.unit.cli_commands import Path
    from tests.unit.cli_shop import Shop

BY_TARGET = [path for path in LEAVES if has_option(path, "--namespace")]
BY_APP = [path for path in LEAVES if has_option(path, "--app")]


def _words(path: Path) -> list[str]:  # noqa: C901 - a line a command
    """Return what the command must be given, of things that are nowhere; agreed to where it asks."""
    words = ["--yes"] if has_option(path, "--yes") else []
    if path == ("jobs", "retry"):
        return [*words, new_job_id()]
    if path == ("routes", "move"):
        words = [*words, "--from", "main", "--to", "nosuch"]
    if path[0] == "migrate" and path[1:] not in {("code",), ("status",)}:
        words = [*words, "--from", "arq", "--source", "redis://127.0.0.1:1"]
        words += ["--map", "nosuch.toml"] if has_option(path, "--map") else []
    if path == ("rollout", "start"):
        words = [*words, "--to", "nosuch", "--steps", "100", "--max-error-rate", "5%"]
    if path == ("keys", "create"):
        words = [*words, "--name", "nosuch", "--role", "read"]
    for parameter in LEAVES[path].params:
        if isinstance(parameter, click.Argument) and parameter.name != "argument":
            if parameter.name in {"ids", "job_id"} and parameter.required:
                words.append(new_job_id())
            elif parameter.name == "version":
                words.append("17")
            elif parameter.name in {"names", "name", "words"}:
                words.append("nosuch")
    return words


def _one_line(result: Result, code: int, beside: str = "") -> str:
    """Check and return what was said, also what a process of its own said beside it."""
    said = result.stderr + beside
    assert (result.exit_code, len(said.splitlines())) == (code, 1), (result, said)
    assert said.startswith("headway: ")
    return said


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_an_unknown_option_is_2(shop: Shop, path: Path) -> None:
    _one_line(shop.run(*path, "--nosuch"), 2)


@pytest.mark.parametrize(
    ("path", "option"),
    [
        (path, parameter)
        for path, command in LEAVES.items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and not isinstance(
            parameter.type, click.types.StringParamType | click.types.BoolParamType | click.Path
        )
        and parameter.type.name != "a,b"
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else part.opts[0],
)
def test_a_value_that_cannot_be_meant_is_2(shop: Shop, path: Path, option: click.Option) -> None:
    result = shop.run(*path, *_words(path), f"{option.opts[0]}=no such thing")
    _one_line(result, 2)
    assert option.opts[0] in result.stderr


@pytest.mark.parametrize("path", BY_APP, ids=" ".join)
def test_an_app_that_is_not_there_is_2(shop: Shop, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for app in ("nosuch_module:app", "shop"):
        _one_line(shop.run(*path, "--app", app, *_words(path)), 2, capfd.readouterr().err)


@pytest.mark.parametrize("path", [path for path in BY_APP if path not in BY_TARGET], ids=" ".join)
def test_no_app_is_2_and_says_what_to_write(shop: Shop, path: Path) -> None:
    result = shop.run(*path, *_words(path))
    _one_line(result, 2)
    assert "HEADWAY_APP" in result.stderr


@pytest.mark.parametrize("path", BY_APP, ids=" ".join)
def test_the_app_may_come_from_the_environment(
    shop: Shop, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = shop.run(*path, *_words(path), env={"HEADWAY_APP": "named_in_the_environment:app"})
    assert "named_in_the_environment" in _one_line(result, 2, capfd.readouterr().err)


@pytest.mark.parametrize(
    "path", [path for path in BY_TARGET if path != ("schedules", "run")], ids=" ".join
)  # that one needs the app's code
def test_a_carrier_that_cannot_be_reached_is_1(shop: Shop, path: Path) -> None:
    target = ["--url", "sqlite:///nosuch/folder/file.db", "--namespace", "shop"]
    result = shop.run(*path, *target, *_words(path))
    if path == ("doctor",):  # says it among its findings
        assert (result.exit_code, "nosuch" in result.stdout) == (1, True)
    elif (
        path == ("offload", "prune") or path[0] == "spool"
    ):  # without such a setting there is none to look at
        assert result.exit_code in {1, 2}
    else:
        _one_line(result, 1)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in BY_TARGET
        if any(takes(path, name) for name in ("ids", "job_id", "names", "name"))
        # What the first names is what it waits for; a carrier that is not there, for the others, is wrong input.
        and path not in {("jobs", "watch"), ("routes", "move"), ("rollout", "start")}
    ],
    ids=" ".join,
)
def test_what_is_named_and_not_there_is_1(shop: Shop, path: Path) -> None:
    _one_line(shop.run(*path, *shop.target, *_words(path)), 1)


def test_a_task_that_is_named_and_not_there_is_1(shop: Shop) -> None:
    _one_line(shop.run("enqueue", shop.app, "nosuch"), 1)
    assert issubclass(UnknownTaskError, LookupError)


@pytest.mark.parametrize(
    "path", [path for path in BY_TARGET if takes(path, "ids") or takes(path, "job_id")], ids=" ".join
)
def test_an_id_that_is_none_is_2(shop: Shop, path: Path) -> None:
    _one_line(shop.run(*path, "nonsense", *shop.target), 2)


@pytest.mark.parametrize(
    "path", [path for path in BY_TARGET if has_option(path, "--yes") and path[0] != "spool"], ids=" ".join
)  # for those see test_cli_spool
def test_no_is_1_and_ctrl_c_at_the_question_is_130(
    shop: Shop, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [word for word in _words(path) if word != "--yes"]
    if path == ("jobs", "retry"):
        words = ["--all-failed"]
    refused = shop.run(*path, *shop.target, *words, answer="n\n")
    assert (refused.exit_code, "nothing was changed" in refused.stderr) == (1, True)

    def interrupted(*_: object, **__: object) -> None:
        try:
            signal.default_int_handler(signal.SIGINT, None)
        except KeyboardInterrupt:
            raise click.Abort from None  # as click does

    monkeypatch.setattr("click.confirm", interrupted)
    assert shop.run(*path, *shop.target, *words).exit_code == 130


@pytest.mark.parametrize(
    "path", [one for one in GROUPS if one != ("workers",)], ids=lambda path: " ".join(path) or "headway"
)  # which lists them
def test_a_group_alone_shows_its_help_as_it_is(path: Path) -> None:
    alone = CliRunner().invoke(cli, list(path), prog_name="headway")
    asked = CliRunner().invoke(cli, [*path, "--help"], prog_name="headway")
    assert (alone.exit_code, alone.stdout, alone.stderr) == (0, asked.stdout, "")
    assert len(alone.stdout.splitlines()) > 10
