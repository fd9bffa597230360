"""`headway spool`, and what stats and doctor say of a spool."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headway.cli.doctor.finding import Level
from headway.cli.doctor.spool import SpoolFacts, check_spool, spool_facts
from headway.config import load_settings
from headway.job import NewJob, new_job_id
from headway.routing.failover.entries import Contents, LaneDepth, SeenBreaker
from headway.routing.failover.spoolfile import Bounds, SpoolFile

if TYPE_CHECKING:
    from tests.unit.cli_shop import Shop


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def spooled(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with three jobs in its spool, one of them set aside, and a breaker that is open."""
    monkeypatch.setenv("HEADWAY_SPOOL", "sqlite:///spool.db")
    spool = SpoolFile(Path("spool.db"), "shop", Bounds(100, 10**6))
    spool.open()
    jobs = [NewJob(new_job_id(), "welcome", "email", b"\x10\x91\x91\x01") for _ in range(3)]
    spool.put("main", jobs, tried_ms=None, now_ms=now_ms() - 90_000)
    spool.park([spool.head("main", 1)[0].seq], "refused: too \x1b[2J large")
    seen = SeenBreaker("main", 4711, "open", now_ms() - 12_000, now_ms(), "Connection refused")
    spool.note_breaker(seen, closed=False)
    spool.close()
    return shop


def test_what_waits_is_shown_also_while_no_carrier_can_be_reached(spooled: Shop) -> None:
    said = spooled.run("spool", "show", *spooled.target, env={"HEADWAY_URL": "redis://127.0.0.1:1"}).stdout
    first, second, head, row, breaker, aside = said.splitlines()
    assert first.endswith("spool.db: 2 jobs wait, the oldest for 2m, 1 set aside")
    assert second.startswith("3 of 100000 jobs, ")
    assert head.split() == ["CARRIER", "QUEUE", "JOBS", "BYTES"]
    assert row.split()[:3] == ["main", "email", "2"]
    assert breaker == "carrier main: breaker open for 12s in process 4711: Connection refused"
    assert "\x1b" not in aside
    assert aside.startswith("set aside: ")


def test_and_as_json(spooled: Shop) -> None:
    found = spooled.json("spool", "show", *spooled.target)
    assert (found["jobs"], found["set_aside"], found["flushed"]) == (3, 1, 0)
    assert 89_000 < found["oldest_age_ms"] < 200_000
    assert [(one["carrier"], one["queue"], one["jobs"]) for one in found["queues"]] == [("main", "email", 2)]
    assert [(one["carrier"], one["state"], one["pid"]) for one in found["breakers"]] == [
        ("main", "open", 4711)
    ]
    [aside] = found["set_aside_jobs"]
    assert aside["reason"] == "refused: too \x1b[2J large"
    assert spooled.json("spool", "show", "--limit", "0", *spooled.target)["set_aside_jobs"] == []


def test_jobs_are_brought_sent_again_and_forgotten(spooled: Shop) -> None:
    assert (
        spooled.ok("spool", "flush", *spooled.target) == "2 brought to their carriers, 0 left, 1 set aside\n"
    )
    refused = spooled.run("spool", "resend", *spooled.target, answer="n\n")
    assert (refused.exit_code, "nothing was changed" in refused.stderr) == (1, True)
    refused = spooled.run("spool", "drop", *spooled.target, answer="n\n")
    assert (refused.exit_code, "nothing was changed" in refused.stderr) == (1, True)
    assert spooled.json("spool", "resend", "--yes", *spooled.target) == {
        "flushed": 1, "left": 0, "set_aside": 0, "why": ""
    }  # fmt: skip
    assert spooled.json("spool", "drop", "--yes", *spooled.target) == {"forgotten": 0}
    assert len(spooled.json("jobs", "list", *spooled.target)["jobs"]) == 3


def test_stats_end_with_the_spool(spooled: Shop) -> None:
    lines = spooled.ok("stats", *spooled.target).splitlines()
    assert any(line.startswith("spool of this host: ") for line in lines)
    assert spooled.json("stats", *spooled.target)["spool"]["set_aside"] == 1


def test_without_a_spool_it_is_said_what_to_write(shop: Shop) -> None:
    for verb in (["show"], ["flush"], ["resend", "--yes"], ["drop", "--yes"]):
        result = shop.run("spool", *verb, *shop.target)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert "the setting spool is empty" in result.stderr
    assert "spool" not in shop.json("stats", *shop.target)


@pytest.mark.parametrize(
    "wrong",
    [
        "redis://host",
        "sqlite://spool.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "spool.db",
        "sqlite:///a.db?x=1",
    ],
)
def test_what_is_no_file_of_this_host_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("HEADWAY_SPOOL", wrong)
    for words in (["spool", "show"], ["queues", "list"]):
        result = shop.run(*words, *shop.target)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert "spool: must be a file of this host" in result.stderr


def test_a_wrong_bound_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SPOOL_LIMIT",
        "SPOOL_BYTES",
        "BREAKER_ERRORS",
        "BREAKER_TIMEOUT",
        "BREAKER_WINDOW",
        "BREAKER_PAUSE",
    ):
        monkeypatch.setenv(f"HEADWAY_{name}", "0")
        result = shop.run("queues", "list", *shop.target)
        assert (result.exit_code, f"HEADWAY_{name}: must be at least" in result.stderr) == (2, True)
        monkeypatch.delenv(f"HEADWAY_{name}")


# --- doctor -----------------------------------------------------------------------------------------------------------

NOW = 1_000_000


def _facts(contents: Contents | None = None, problem: str = "") -> SpoolFacts:
    return SpoolFacts("/spool.db", contents, NOW, 100, 1000, ("main",), problem)


WAITING = Contents((LaneDepth("main", "email", 2, 10),), NOW - 5000, 0, 10, 2, 0)


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        (_facts(Contents()), Level.OK, "/spool.db: empty"),
        (_facts(WAITING), Level.OK, "2 jobs wait in /spool.db, the oldest for 5 s"),
        (
            _facts(Contents(WAITING.lanes, NOW - 61_000, 0, 10, 2, 0)),
            Level.WARN,
            "2 jobs wait in /spool.db, the oldest for 61 s",
        ),
        (
            _facts(Contents(breakers=(SeenBreaker("main", 7, "open", 0, NOW, "cut"),))),
            Level.WARN,
            "carrier main is away for process 7: cut",
        ),
        (_facts(Contents(breakers=(SeenBreaker("main", 7, "half-open", 0, NOW, "cut"),))), Level.OK, "empty"),
        (_facts(Contents(parked=1, jobs=1)), Level.WARN, "1 jobs are set aside"),
        (_facts(Contents(WAITING.lanes, NOW, 0, 800, 2, 0)), Level.WARN, "is 80% full: 2 jobs, 800 B"),
        (
            _facts(Contents((LaneDepth("old", "email", 2, 10),), NOW, 0, 10, 2, 0)),
            Level.ERROR,
            "holds jobs for old, which the settings do not have",
        ),
        (_facts(problem="spool /spool.db is damaged"), Level.ERROR, "is damaged"),
    ],
)
def test_doctor(facts: SpoolFacts, level: Level, said: str) -> None:
    found = check_spool(facts)
    assert (found.level, said in found.message) == (level, True), found


def test_doctor_reads_the_file_while_the_carrier_is_away(spooled: Shop) -> None:
    result = spooled.run("doctor", "--json", *spooled.target, env={"HEADWAY_URL": "redis://127.0.0.1:1"})
    assert result.exit_code == 1
    assert '"check": "spool"' in result.stdout
    settings = load_settings()
    assert spool_facts(settings, "bank").problem.endswith("this is 'bank'")
