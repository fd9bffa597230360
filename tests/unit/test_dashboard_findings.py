"""What the first page of the dashboard says is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from headway.clock import from_ms
from headway.dashboard.findings import Facts, findings
from headway.job import JobState
from headway.routing.failover.entries import Contents, SeenBreaker
from headway.server.services.queues import Queue
from headway.server.services.spool import SpoolView
from headway.server.services.workers import Worker

NOW = 10**12
MINUTE = 60_000


def _queue(name: str = "mail", *, ready: int = 0, age: int | None = None, **more: Any) -> Queue:
    return Queue(
        name=name,
        counts={JobState.READY: ready},
        oldest_ready_age_ms=age,
        **{"paused": False, "declared": True, "carriers": {}, **more},
    )


def _said(**facts: Any) -> list[tuple[str, str]]:
    given = {"queues": (), "workers": (Worker(id="w", carrier="main", holds=0, queues=("mail",)),), **facts}
    return [(one.tone, one.text) for one in findings(Facts(now_ms=NOW, **{"pushed": False, **given}))]


def _spool(full: float = 0.1, **contents: Any) -> SpoolView:
    return SpoolView(Contents(**contents), full)


def _breaker(carrier: str, pid: int, state: str = "open") -> SeenBreaker:
    return SeenBreaker(carrier, pid, state, NOW - 2 * MINUTE, NOW, "refused the connection.")


def test_nothing_is_wrong() -> None:
    assert (
        _said(
            queues=(_queue(ready=5, age=100), _queue("idle")),
            ended=1000,
            failed=10,
            spool=_spool(),
            records={"main": 900},
        )
        == []
    )


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"queues": (_queue("slow", ready=2, age=5000),)},
            ("bad", "Queue slow is served by nobody: 2 jobs wait, the oldest for 5 s."),
        ),
        (
            {"queues": (_queue(ready=2, age=2 * MINUTE),)},
            ("warn", "Queue mail is behind: its oldest job has waited for 2 min."),
        ),
        (
            {"queues": (_queue(ready=2, age=20 * MINUTE),)},
            ("bad", "Queue mail is behind: its oldest job has waited for 20 min."),
        ),
        (
            {"queues": (_queue(ready=3, paused=True),)},
            ("warn", "Queue mail is paused with 3 jobs in it."),
        ),
        ({"ended": 100, "failed": 6}, ("warn", "6 % of attempts fail: 6 of the last 100.")),
        ({"ended": 100, "failed": 60}, ("bad", "60 % of attempts fail: 60 of the last 100.")),
        ({"ended": 1000, "failed": 1, "dead": 1}, ("warn", "1 job failed for good in the last 15 min.")),
        ({"ended": 3, "failed": 3, "dead": 2}, ("warn", "2 jobs failed for good in the last 15 min.")),
        ({"superseded": 4}, ("warn", "4 attempts lost the lease in the last 15 min.")),
        (
            {"spool": _spool(breakers=(_breaker("main", 1), _breaker("main", 2)))},
            ("bad", "Carrier main does not answer, for 2 min."),
        ),
        (
            {"spool": _spool(jobs=7, oldest_ms=NOW - 5000)},
            ("warn", "7 jobs in the spool of this host, 10 % full, the oldest for 5 s."),
        ),
        (
            {"spool": _spool(0.9, jobs=90, oldest_ms=NOW - 5000)},
            ("bad", "90 jobs in the spool of this host, 90 % full, the oldest for 5 s."),
        ),
        (
            {"spool": _spool(jobs=1, parked=1)},
            ("warn", "1 job of the spool of this host set aside."),
        ),
        ({"spool_trouble": "disk"}, ("bad", "The spool of this host cannot be read.")),
        ({"records": {"main": 2 * MINUTE}}, ("warn", "The records of carrier main are 2 min behind.")),
        ({"records": {"main": 60 * MINUTE}}, ("bad", "The records of carrier main are 1 h behind.")),
        ({"records": {"main": None}}, ("warn", "Nobody has recorded the jobs of carrier main.")),
        ({"records_trouble": "no answer"}, ("bad", "The database of the records does not answer.")),
        ({"trouble": "disk full"}, ("bad", "The audit log cannot be written.")),
    ],
)
def test_each_is_said_once_in_words(facts: dict[str, Any], said: tuple[str, str]) -> None:
    assert _said(**facts) == [said]


def test_a_breaker_that_tries_again_is_not_away() -> None:
    assert _said(spool=_spool(breakers=(_breaker("main", 1, "half-open"),))) == []


def test_a_queue_whose_carrier_pushes_is_served_by_whoever_it_calls() -> None:
    assert _said(queues=(_queue("slow", ready=2, age=5000),), pushed=True) == []


def test_the_worst_stands_first_and_the_list_ends() -> None:
    many = tuple(_queue(f"q{number}", ready=1, age=5000) for number in range(50))
    found = _said(queues=(_queue(ready=1, paused=True, paused_until=from_ms(NOW)), *many))
    assert len(found) == 20
    assert {tone for tone, _ in found} == {"bad"}
