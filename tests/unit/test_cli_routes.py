"""`headway routes` on an app with two SQLite files."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from click.shell_completion import ShellComplete

from headway.brokers.base import JobQuery, QueueWant
from headway.cli.root import cli
from headway.cli.target import import_app
from headway.job import JobId, NewJob, WorkerId
from headway.routing.following import SETTLING
from tests.unit.cli_shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = """
from headway import Headway

app = Headway(
    "shop",
    carriers={"main": "sqlite:///main.db", "side": "sqlite:///side.db"},
    routes={"email": {"main": 50, "side": 50}},
)

@app.task(name="welcome", queue="email")
async def welcome(user_id: int) -> None: ...

@app.task(name="report", queue="reports")
async def report(name: str) -> None: ...
"""


@pytest.fixture
def routed(shop: Shop) -> Iterator[Shop]:
    """Stand in the folder of an app with two carriers."""
    del shop
    module = f"routed_{uuid4().hex}"
    Path(f"{module}.py").write_text(SOURCE, encoding="utf-8")
    yield Shop(module)
    sys.modules.pop(module, None)


def settle() -> None:
    """Make the last change of the routes old enough for the next one."""
    with sqlite3.connect("main.db") as db:
        db.execute("UPDATE control SET changed_ms = changed_ms - ?", (round(SETTLING * 1000) + 100,))
    db.close()


def shown_routes(shop: Shop) -> dict[str, dict[str, int]]:
    return {one["queue"]: one["weights"] for one in shop.json("routes", "show", *shop.target)["routes"]}


def test_show_says_where_each_queue_goes_and_why(routed: Shop) -> None:
    found = routed.json("routes", "show", *routed.target)
    assert (found["version"], found["control"]) == (0, "main")
    assert found["carriers"] == [
        {"name": "main", "url": "sqlite:///main.db", "drained_to": None, "left": {}},
        {"name": "side", "url": "sqlite:///side.db", "drained_to": None, "left": {}},
    ]
    assert [(one["queue"], one["from"], one["weights"]) for one in found["routes"]] == [
        ("email", "settings", {"main": 50, "side": 50}),
        ("reports", "no route", {"main": 100}),
    ]
    text = routed.ok("routes", "show", *routed.target)
    assert "carrier main  sqlite:///main.db; takes what has no route; keeps the routes" in text
    assert "main 50 %, side 50 %" in text
    assert text.endswith("no version: the routes were never changed by hand\n")


def test_set_changes_where_new_jobs_go_and_shows_what_is_left_behind(routed: Shop) -> None:
    routed.enqueue("report", "q1")
    result = routed.run("routes", "set", "reports", "side", "--reason", "try it", *routed.target)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "reports: main 100 -> 0 %; side 0 -> 100 %; has a route now; 100 % of its jobs change their carrier",
        "version 1; every producer goes by it within 2 s, jobs with a key in 4 s",
    ]
    assert "no worker is seen that serves queue 'reports' on side" in result.stderr
    job = routed.enqueue("report", "q2")
    assert _on(routed, "side") == [job]
    found = routed.json("routes", "show", *routed.target)
    assert (found["version"], found["reason"], found["who"].count("@")) == (1, "try it", 1)
    reports = next(one for one in found["routes"] if one["queue"] == "reports")
    assert (reports["from"], reports["left"]) == ("version 1", {"main": {"ready": 1}})
    text = routed.ok("routes", "show", *routed.target)
    assert "main: 1 ready" in text
    assert "ago, by " in text


def _on(shop: Shop, carrier: str) -> list[str]:
    async def work() -> list[str]:
        async with import_app(shop.app) as app:
            return [one.id for one in (await app.carriers[carrier].list(JobQuery())).jobs]

    return asyncio.run(work())


def test_a_carrier_is_drained_until_it_is_empty_and_takes_its_share_again(routed: Shop) -> None:
    routed.ok("routes", "set", "reports", "side", *routed.target)
    old = routed.enqueue("report", "q1")
    settle()
    text = routed.ok("routes", "drain", "side", "--dry-run", *routed.target)
    assert "side is drained: nothing new goes there, main stands in" in text
    assert "nothing was changed; it would be version 2" in text
    result = routed.run("routes", "drain", "side", "--reason", "repair", *routed.target)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:4] == [
        "side is drained: nothing new goes there, main stands in",
        "email: main 50 -> 100 %; side 50 -> 0 %; 50 % of its jobs change their carrier",
        "reports: main 0 -> 100 %; side 100 -> 0 %; 100 % of its jobs change their carrier",
        "version 2; every producer goes by it within 2 s, jobs with a key in 4 s",
    ]
    assert result.stdout.splitlines()[-1].split() == ["reports", "1", "0", "0"]
    new = routed.enqueue("report", "q2")
    assert (_on(routed, "side"), _on(routed, "main")) == ([old], [new])
    shown = routed.ok("routes", "show", *routed.target)
    assert "drained: nothing new goes there, left: 1 ready" in shown
    assert "all to side; now all to main" in shown
    settle()
    refused = routed.run("routes", "set", "email", "main=10", "side=90", *routed.target)
    assert refused.exit_code == 2
    assert (
        "carrier side is drained, nothing new goes there: `headway routes drain side --end`" in refused.stderr
    )
    assert routed.run("routes", "drain", "main", *routed.target).exit_code == 1  # nobody would be left
    found = routed.json("routes", "drain", "side", "--move", "--wait", *routed.target)
    assert (found["changed"], found["moved"], found["left"], found["empty"]) == (
        False,
        {"reports": 1},
        [],
        True,
    )
    assert sorted(_on(routed, "main")) == sorted([old, new])
    text = routed.ok("routes", "drain", "side", "--end", *routed.target)
    assert "side is drained no more" in text
    assert shown_routes(routed)["reports"] == {"side": 100}
    settle()
    versions = routed.json("routes", "history", *routed.target)["versions"]
    assert [one["reason"] for one in versions[:2]] == ["side is drained no more", "repair"]


def test_a_share_of_a_queue_is_copied_and_shown(routed: Shop) -> None:
    text = routed.ok("routes", "set", "reports", "--shadow", "side=5", "--reason", "look", *routed.target)
    assert text.splitlines()[0] == "reports: 5 % are copied to side"
    settle()
    found = routed.json("routes", "show", *routed.target)
    shadows = {one["queue"]: one["shadow"] for one in found["routes"]}
    assert shadows == {"email": None, "reports": {"to": "side", "percent": 5}}
    assert "all to main; 5 % are copied to side" in routed.ok("routes", "show", *routed.target)
    assert routed.json("stats", *routed.target)["shadows"] == {"reports": {"to": "side", "percent": 5}}
    assert "reports: 5 % are copied to side" in routed.ok("stats", *routed.target)
    again = routed.ok("routes", "set", "reports", "--shadow", "side=5", *routed.target)
    assert "nothing to change" in again
    text = routed.ok("routes", "set", "reports", "main=50", "side=50", "--shadow", "none", *routed.target)
    assert "reports: nothing is copied any more" in text
    assert "side 0 -> 50 %" in text
    settle()
    refused = routed.run("routes", "set", "reports", "--shadow", "nosuch=5", *routed.target)
    assert (refused.exit_code, "there is no carrier 'nosuch'" in refused.stderr) == (2, True)
    reasons = [one["reason"] for one in routed.json("routes", "history", *routed.target)["versions"]]
    assert reasons == ["", "look"]


def test_the_doctor_looks_at_each_carrier(routed: Shop) -> None:
    routed.enqueue("report", "q1")
    document = routed.json("doctor", *routed.target)
    assert document["url"] == "sqlite:///main.db, sqlite:///side.db"
    checks = {one["check"].partition(": ")[0] for one in document["findings"] if ": " in one["check"]}
    assert checks == {"main", "side"}
    assert "carriers" in {one["check"] for one in document["findings"]}


def test_what_a_drain_cannot_be(routed: Shop) -> None:
    for words, code in (
        (["nosuch"], 1),
        (["side", "--to", "nosuch"], 1),
        (["side", "--to", "side"], 1),
        (["side", "--end", "--move"], 2),
    ):
        result = routed.run("routes", "drain", *words, *routed.target)
        assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1), result.stderr


def test_a_dry_run_shows_the_difference_and_changes_nothing(routed: Shop) -> None:
    text = routed.ok("routes", "set", "reports", "main=75", "side=25", "--dry-run", *routed.target)
    assert text.splitlines()[0].startswith("reports: main 100 -> 75 %; side 0 -> 25 %")
    assert text.splitlines()[1] == "nothing was changed; it would be version 1"
    assert routed.json("routes", "history", *routed.target) == {"versions": []}
    said = routed.json("routes", "set", "reports", "side", "--dry-run", *routed.target)
    assert (said["changed"], said["dry_run"], said["version"]) == (False, True, 1)


def test_what_is_so_already_makes_no_version(routed: Shop) -> None:
    for words in (["email", "main=50", "side=50"], ["reports", "main"], ["email", "--declared"]):
        text = routed.ok("routes", "set", *words, *routed.target)
        assert text == "nothing to change: it is so already, at version 0\n"


def test_history_and_rollback(routed: Shop) -> None:
    routed.ok("routes", "set", "reports", "main=75", "side=25", "--who", "ann", *routed.target)
    settle()
    routed.ok("routes", "set", "reports", "side", "--who", "bob", "--reason", "more", *routed.target)
    settle()
    text = routed.ok("routes", "rollback", "1", "--who", "cy", *routed.target)
    assert text.startswith(
        "reports: main 0 -> 75 %; side 100 -> 25 %; 75 % of its jobs change their carrier\n"
    )
    settle()
    versions = routed.json("routes", "history", *routed.target)["versions"]
    assert [(one["version"], one["who"], one["reason"], one["restores"]) for one in versions] == [
        (3, "cy", "back to version 1", 1),
        (2, "bob", "more", None),
        (1, "ann", "", None),
    ]
    assert versions[0]["routes"] == {"reports": {"main": 75, "side": 25}}
    assert "75 % of its jobs" in versions[0]["changes"][0]
    assert routed.ok("routes", "rollback", "0", *routed.target).startswith("reports: main 75 -> 100 %")
    assert shown_routes(routed)["reports"] == {"main": 100}
    text = routed.ok("routes", "history", "--limit", "1", *routed.target)
    assert text.splitlines()[0].startswith("version 4  ")
    assert "back to the settings" in text
    again = routed.ok("routes", "rollback", "0", *routed.target)
    assert again == "nothing to change: it is so already, at version 4\n"


def test_the_settings_count_again_where_that_is_asked(routed: Shop) -> None:
    routed.ok("routes", "set", "email", "side", *routed.target)
    settle()
    assert shown_routes(routed)["email"] == {"side": 100}
    text = routed.ok("routes", "set", "email", "--declared", *routed.target)
    assert text.startswith("email: main 0 -> 50 %; side 100 -> 50 %; 50 % of its jobs change their carrier")
    assert shown_routes(routed)["email"] == {"main": 50, "side": 50}


def test_jobs_are_placed_by_a_header_where_that_is_asked(routed: Shop) -> None:
    routed.ok("routes", "set", "email", "main=20", "side=80", "--by", "header:tenant", *routed.target)
    settle()
    routed.ok("routes", "set", "email", "main=30", "side=70", *routed.target)  # keeps it
    settle()
    email = routed.json("routes", "show", *routed.target)["routes"][0]
    assert (email["by"], email["weights"]) == ("header:tenant", {"main": 30, "side": 70})
    assert "by header:tenant" in routed.ok("routes", "show", *routed.target)
    routed.ok("routes", "set", "email", "main=30", "side=70", "--by", "key", *routed.target)
    assert routed.json("routes", "show", *routed.target)["routes"][0]["by"] is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["reports", "sidee"], 2, "there is no carrier 'sidee'; the carriers are main, side: do you mean 'side'?"),
        (["reports", "main=75"], 2, "the weights add up to 75 percent"),
        (["reports", "main=75", "side=x"], 2, "'side=x' must be a carrier and its percentage"),
        (["reports"], 2, "give the weights"),
        (["reports", "main", "--declared"], 2, "give the weights"),
        (["reports", "main=50", "side=50", "--by", "tenant"], 2, 'must be "header:"'),
        (["nosuch", "side"], 1, "no queue 'nosuch'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_said_in_a_line_and_changes_nothing(
    routed: Shop, words: list[str], code: int, said: str
) -> None:
    result = routed.run("routes", "set", *words, *routed.target)
    assert (result.exit_code, len(result.stderr.splitlines()), result.stdout) == (code, 1, "")
    assert said in result.stderr
    assert routed.json("routes", "history", *routed.target) == {"versions": []}


def test_a_queue_of_the_future_and_a_version_that_never_was(routed: Shop) -> None:
    routed.ok("routes", "set", "later", "side", "--force", *routed.target)
    assert shown_routes(routed)["later"] == {"side": 100}
    result = routed.run("routes", "rollback", "7", *routed.target)
    assert (result.exit_code, "no version 7 of the routes is kept; there are: 1 to 1" in result.stderr) == (
        1,
        True,
    )


def test_a_carrier_that_lacks_what_a_task_needs_is_refused_by_the_tasks_name(routed: Shop) -> None:
    source = SOURCE.replace('"shop",', '"shop", payload_limit=1024 * 1024 * 1024,')
    Path("large.py").write_text(source, encoding="utf-8")
    result = routed.run("routes", "set", "reports", "side", "--app", "large:app")
    sys.modules.pop("large")
    assert result.exit_code == 2
    assert "task 'report' of queue 'reports' may have a call of 1073741824 bytes" in result.stderr


def test_a_worker_that_listens_there_spares_the_warning(routed: Shop) -> None:
    routed.ok("routes", "set", "reports", "side", *routed.target)
    settle()
    job = routed.enqueue("report", "q1")

    async def claim() -> None:
        async with import_app(routed.app) as app:
            pull = app.carriers["side"].capabilities.pull
            assert pull is not None
            found = await pull.claim(
                [QueueWant("reports", 1)], worker=WorkerId("w"), limit=1, lease_ms=60_000
            )
            assert [one.lease.job_id for one in found.deliveries] == [job]

    asyncio.run(claim())
    routed.ok("routes", "set", "reports", "main", *routed.target)
    settle()
    said = routed.json("routes", "set", "reports", "main=50", "side=50", *routed.target)
    assert said["warnings"] == []


def test_without_the_apps_code_the_settings_name_the_carriers(routed: Shop) -> None:
    del routed
    Path("headway.toml").write_text(
        'namespace = "shop"\n[carriers]\nmain = "sqlite:///main.db"\nside = "sqlite:///side.db"\n'
        '[routes]\nemail = "side"\n',
        encoding="utf-8",
    )
    plain = Shop("none")
    plain.target = []
    assert shown_routes(plain) == {"email": {"side": 100}}
    result = plain.run("routes", "set", "email", "main=5", "side=95")
    assert (result.exit_code, "was not checked" in result.stderr) == (0, True)
    assert shown_routes(plain) == {"email": {"main": 5, "side": 95}}


def test_an_app_with_one_carrier_has_routes_that_say_so(shop: Shop) -> None:
    found = shop.json("routes", "show", *shop.target)
    assert {one["queue"]: one["weights"] for one in found["routes"]}["email"] == {"main": 100}
    assert shop.run("routes", "set", "email", "push", *shop.target).exit_code == 2


def completions(shop: Shop, words: list[str], incomplete: str) -> list[str]:
    completer = ShellComplete(cli, {}, "headway", "_HEADWAY_COMPLETE")
    return [
        one.value for one in completer.get_completions(["routes", "set", *shop.target, *words], incomplete)
    ]


def test_queues_and_carriers_are_completed(routed: Shop) -> None:
    assert completions(routed, [], "") == ["email", "reports"]
    assert completions(routed, [], "re") == ["reports"]
    assert completions(routed, ["reports"], "") == ["main=", "side="]
    assert completions(routed, ["reports", "main=75"], "si") == ["side="]
    broken = Shop("nosuch")
    assert completions(broken, [], "") == []
    assert completions(broken, ["reports"], "") == []


def test_show_in_words_survives_what_a_person_may_have_typed(routed: Shop) -> None:
    routed.ok("routes", "set", "reports", "side", "--reason", "a\x1b[31mb", *routed.target)
    assert "\x1b" not in routed.ok("routes", "show", *routed.target)
    assert "\x1b" not in routed.ok("routes", "history", *routed.target)
    assert json.loads(routed.ok("routes", "history", *routed.target, "--json"))["versions"][0]["version"] == 1


def test_verify_is_0_only_when_nothing_is_wrong(routed: Shop) -> None:
    routed.enqueue("report", "q1")
    routed.enqueue("welcome", "1")
    text = routed.ok("routes", "verify", *routed.target)
    assert text.splitlines()[-1] == "2 jobs: each on one carrier, nothing is wrong"
    routed.ok("routes", "set", "reports", "side", *routed.target)
    result = routed.run("routes", "verify", *routed.target)
    assert result.exit_code == 1
    assert "1 of queue reports wait on main: no route leads there" in result.stdout
    assert result.stdout.splitlines()[-1] == "2 jobs: NOT as it should be"
    result = routed.run("routes", "verify", *routed.target, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["ok"], found["jobs"]) == (False, 2)
    assert found["stranded"] == [{"queue": "reports", "carrier": "main", "waiting": 1}]


def test_verify_names_a_job_that_is_on_two_carriers(routed: Shop) -> None:
    job = routed.enqueue("report", "q1")

    async def double() -> None:
        async with import_app(routed.app) as app:
            record = (await app.carriers["main"].get([JobId(job)]))[0]
            assert record is not None
            new = NewJob(JobId(job), record.task, record.queue, record.payload)
            await app.carriers["side"].enqueue([new])

    asyncio.run(double())
    result = routed.run("routes", "verify", *routed.target)
    assert (result.exit_code, f"job {job} is on two carriers: main, side" in result.stdout) == (1, True)
