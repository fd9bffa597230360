"""`headway rollout` on an app with two SQLite files."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from click.shell_completion import ShellComplete

from headway.cli.root import cli
from headway.routing.following import SETTLING
from tests.unit.cli_shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = """
from headway import Headway

app = Headway("shop", carriers={"main": "sqlite:///main.db", "side": "sqlite:///side.db"})

@app.task(name="report", queue="reports")
async def report(name: str) -> None: ...

@app.task(name="welcome", queue="email")
async def welcome(user_id: int) -> None: ...
"""
START = ("rollout", "start", "reports", "--to", "side", "--max-error-rate", "1%")


@pytest.fixture
def routed(shop: Shop) -> Iterator[Shop]:
    """Stand in the folder of an app with two carriers."""
    del shop
    module = f"rolled_{uuid4().hex}"
    Path(f"{module}.py").write_text(SOURCE, encoding="utf-8")
    yield Shop(module)
    sys.modules.pop(module, None)


def settle() -> None:
    """Make the last change of the routes old enough for the next one."""
    with sqlite3.connect("main.db") as db:
        db.execute("UPDATE control SET changed_ms = changed_ms - ?", (round(SETTLING * 1000) + 100,))
    db.close()


def weights(shop: Shop) -> dict[str, int]:
    routes = shop.json("routes", "show", *shop.target)["routes"]
    found: dict[str, int] = next(one for one in routes if one["queue"] == "reports")["weights"]
    return found


def test_it_is_begun_steered_and_aborted(routed: Shop) -> None:
    begun = routed.ok(*START, "--reason", "try it", "--who", "ann", *routed.target)
    assert "reports to side, 1 % now" in begun
    assert weights(routed) == {"main": 99, "side": 1}
    [found] = routed.json("rollout", "status", "reports", *routed.target)["rollouts"]
    assert (found["status"], found["percent"], found["steps"]) == ("running", 1, [1, 5, 25, 50, 100])
    assert found["decision"]["text"].endswith(": try it")
    assert "running" in routed.ok("rollout", "status", *routed.target)
    assert "paused" in routed.ok("rollout", "pause", "reports", "--reason", "a deploy", *routed.target)
    refused = routed.run("rollout", "promote", "reports", *routed.target)
    assert refused.exit_code == 1
    assert refused.stderr == (
        "headway: cannot promote the roll-out of reports: the route of its step is not in force yet; resume it first\n"
    )
    assert "running" in routed.ok("rollout", "resume", "reports", *routed.target)
    settle()
    assert "aborted" in routed.ok("rollout", "abort", "reports", *routed.target)
    assert weights(routed) == {"main": 100}
    decisions = routed.json("rollout", "history", "reports", *routed.target)["decisions"]
    assert [one["act"] for one in decisions] == ["advance", "pause", "hold", "roll back"]
    assert decisions[0]["who"] == "ann"
    text = routed.ok("rollout", "history", "reports", *routed.target)
    assert "pause, asked for by hand: at 1 %: a deploy" in text
    ended = routed.run("rollout", "run", "reports", *routed.target)
    assert (ended.exit_code, len(ended.stdout.splitlines())) == (1, 4)
    assert routed.ok("rollout", "status", *routed.target) == "no roll-out is under way\n"


def test_a_dry_run_changes_nothing_and_says_how_long_it_takes(routed: Shop) -> None:
    text = routed.ok(*START, "--dry-run", *routed.target)
    assert "reports to side: 1 %: no job has come in the last day" in text
    assert text.endswith("nothing was begun\n")
    found = routed.json(*START, "--dry-run", *routed.target)
    assert found["begun"] is False
    assert [one["percent"] for one in found["forecast"][0]["steps"]] == [1, 5, 25, 50, 100]
    assert weights(routed) == {"main": 100}
    assert routed.run("rollout", "status", "reports", *routed.target).exit_code == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("start", "reports", "--to", "moon"), 2, "there is no carrier 'moon'; the carriers are main, side"),
        (("start", "reports", "--to", "main"), 2, "all jobs of reports go to main already"),
        (("start", "reports"), 2, "'to' is missing"),
        (("start",), 2, "which queue? give QUEUE and --to CARRIER, or --plan FILE"),
        (("start", "reports", "--to", "side", "--steps", "5,1"), 2, "must rise"),
        (("start", "reports", "--to", "side", "--max-error-rate", "0%"), 2, "no number of jobs can prove"),
        (("start", "reports", "--to", "side", "--max-p95", "0s"), 2, "no job could meet it"),
        (("pause", "reports"), 1, "queue reports has no roll-out: headway rollout start begins one"),
        (("run", "reports"), 1, "queue reports has no roll-out"),
        (("history", "reports"), 1, "queue reports has no roll-out"),
    ],
)
def test_each_refusal_is_one_line_and_changes_nothing(
    routed: Shop, words: tuple[str, ...], code: int, says: str
) -> None:
    result = routed.run("rollout", *words, *routed.target)
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert weights(routed) == {"main": 100}


def test_a_second_one_of_a_queue_is_refused(routed: Shop) -> None:
    routed.ok(*START, *routed.target)
    result = routed.run(*START, *routed.target)
    assert result.exit_code == 1
    assert result.stderr == (
        "headway: a roll-out of queue reports to side is under way, running at 1 %: abort it first, or let it end\n"
    )


def test_a_queue_that_is_paused_there_is_refused(routed: Shop) -> None:
    routed.ok("queues", "pause", "reports", *routed.target)
    result = routed.run(*START, *routed.target)
    assert result.exit_code == 2
    assert "the queue is paused on side: nothing would run there" in result.stderr
    routed.ok("queues", "resume", "reports", *routed.target)
    routed.ok(*START, *routed.target)


def test_a_control_store_that_is_away_is_one_line(routed: Shop) -> None:
    Path("main.db").mkdir()
    result = routed.run(*START, *routed.target)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_a_plan_file_begins_with_its_first_queue(routed: Shop) -> None:
    Path("plan.toml").write_text(
        'to = "side"\nmax_error_rate = "2%"\n[[queue]]\nname = "email"\n[[queue]]\nname = "reports"\n'
    )
    both = routed.run("rollout", "start", "email", "--plan", "plan.toml", *routed.target)
    assert (both.exit_code, "or --plan alone" in both.stderr) == (2, True)
    routed.ok("rollout", "start", "--plan", "plan.toml", *routed.target)
    found = routed.json("rollout", "status", *routed.target)
    assert [one["queue"] for one in found["rollouts"]] == ["email"]
    assert found["plan"] == {"queues": ["email", "reports"], "done": 0, "stopped": None}
    assert "plan of email, reports: 0 of 2 done" in routed.ok("rollout", "status", *routed.target)
    settle()
    routed.ok("rollout", "abort", "email", *routed.target)
    again = routed.run("rollout", "start", "--plan", "plan.toml", *routed.target)
    assert again.exit_code == 1
    assert "a plan of several queues is under way" in again.stderr


def test_a_shell_completes_queues_and_carriers(routed: Shop) -> None:
    shell = ShellComplete(cli, {}, "headway", "_HEADWAY_COMPLETE")
    words = ["rollout", "start", "--app", routed.app]
    assert [one.value for one in shell.get_completions(words, "re")] == ["reports"]
    assert [one.value for one in shell.get_completions([*words, "reports", "--to"], "s")] == ["side"]
