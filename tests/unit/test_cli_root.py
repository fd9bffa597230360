from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from headway.cli.root import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli_shop import Shop


def _commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if path:
        yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _commands(child, (*path, name))


COMMANDS = dict(_commands(cli))


def test_the_commands_are_those_that_are_documented() -> None:
    leaves = {" ".join(path) for path, command in COMMANDS.items() if not isinstance(command, click.Group)}
    assert leaves == {
        "worker", "workers list", "workers drain", "top", "push", "dev", "enqueue", "emulator", "doctor", "demo", "offload prune",
        "gcp plan", "gcp apply", "gcp destroy", "gcp pause", "gcp resume", "gcp status",
        "jobs list", "jobs show", "jobs retry", "jobs cancel", "jobs promote", "jobs remove", "jobs watch",
        "queues list", "queues pause", "queues resume", "queues drain", "queues clean",
        "stats", "server", "recorder", "db upgrade", "db status", "mcp", "keys create", "keys list", "keys rotate", "keys revoke",
        "spool show", "spool flush", "spool resend", "spool drop",
        "routes show", "routes set", "routes history", "routes drain", "routes move", "routes rollback", "routes verify",
        "rollout start", "rollout status", "rollout pause", "rollout resume", "rollout promote", "rollout abort",
        "rollout history", "rollout run",
        "schedules change", "schedules create", "schedules delete", "schedules list", "schedules pause", "schedules resume",
        "schedules run",
        "migrate code", "migrate inspect", "migrate plan", "migrate apply", "migrate forward", "migrate verify",
        "migrate revert", "migrate status",
    }  # fmt: skip


@pytest.mark.parametrize("path", COMMANDS)
def test_each_command_explains_itself_with_examples_and_json(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"], prog_name="headway")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"  headway {' '.join(path)}" in result.stdout
    if not isinstance(COMMANDS[path], click.Group):
        assert "--json" in result.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["jobs", "list", "--nosuch"], "No such option"),
        (["jobs", "show"], "Missing argument"),
        (["worker", "shop"], "write it as module:name"),
        (["worker", "shop:app", "--lease", "1ms"], "--lease: must be at least"),
        (["jobs", "list", "--app", "nosuch_module:app"], "there is no module 'nosuch_module'"),
        (["jobs", "list", "--app", "json:app"], "is not a Headway app"),
        (["jobs", "list", "--app", "a:b", "--url", "sqlite:///x.db"], "either --app"),
        (["jobs", "list", "--url", "ftp://host", "--namespace", "x"], "unknown scheme 'ftp'"),
        (["jobs", "list", "--namespace", "x", "--after", "nonsense"], "cursor"),
        (["doctor", "--url", "ftp://host"], "unknown scheme 'ftp'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(shop: Shop, args: list[str], said: str) -> None:
    result = shop.run(*args)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.startswith("headway: ")
    assert len(result.stderr.splitlines()) == 1


def test_an_app_that_raises_at_import_is_one_line_that_names_the_place(shop: Shop) -> None:
    Path("broken_shop.py").write_text("x = 1\ny = x / 0\n", encoding="utf-8")
    result = shop.run("jobs", "list", "--app", "broken_shop:app")
    assert result.exit_code == 2
    assert "ZeroDivisionError: division by zero" in result.stderr
    assert "broken_shop.py, line 2" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_carrier_that_cannot_be_used_is_exit_code_1(shop: Shop) -> None:
    Path("notes.db").write_text("this is no database at all, " * 100, encoding="utf-8")
    result = shop.run("jobs", "list", "--url", "sqlite:///notes.db", "--namespace", "x")
    assert result.exit_code == 1
    assert result.stderr.startswith("headway: sqlite:///")
    assert "notes.db: file is not a database" in result.stderr


def test_colours_only_where_they_are_wanted(shop: Shop) -> None:
    shop.enqueue("report", "q1")
    shop.fail("reports")
    args = ["jobs", "list", *shop.target]
    assert "\x1b[" not in shop.run(*args).stdout
    assert "\x1b[31m" in CliRunner().invoke(cli, args, color=True).stdout
    assert "\x1b[" not in CliRunner().invoke(cli, args, color=True, env={"NO_COLOR": "1"}).stdout


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout.startswith("headway 0.")


def test_help_loads_neither_the_loop_nor_a_driver_nor_the_runtime() -> None:
    code = (
        "import sys\nsys.argv = ['headway', '--help']\nfrom headway.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "wrong = [m for m in ('asyncio', 'redis', 'sqlite3', 'headway.runtime', 'headway.brokers.sqlite') if m in sys.modules]\n"
        "sys.exit(', '.join(wrong) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
