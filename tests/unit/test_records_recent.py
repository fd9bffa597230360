"""Which jobs a recorder need not read again."""

from __future__ import annotations

from typing import Any

import pytest

from headway.events import Event, EventKind
from headway.job import JobId, JobRecord, JobState, new_job_id
from headway.records.recent import Recent
from headway.records.written import ExecutionRow

NOW = 10_000_000


def ended(job_id: JobId, **fields: Any) -> JobRecord:
    given: dict[str, Any] = {
        "task": "send",
        "queue": "q",
        "state": JobState.SUCCEEDED,
        "priority": 0,
        "payload": b"",
        "attempt": 1,
        "epoch": 1,
        "finished_ms": NOW,
    }
    return JobRecord(id=job_id, **(given | fields))


def told(job_id: JobId, *kinds: EventKind) -> list[Event]:
    return [Event(str(number), kind, job_id, NOW) for number, kind in enumerate(kinds)]


def test_of_a_job_that_had_ended_only_its_attempt_is_news() -> None:
    recent, job_id = Recent(), new_job_id()
    recent.read([ended(job_id)], NOW)
    events = told(job_id, EventKind.STARTED, EventKind.SUPERSEDED, EventKind.SUCCEEDED)
    assert recent.split(events) == ([], events)
    recent.clear()
    assert recent.split(events) == (events, [])


@pytest.mark.parametrize("kind", [EventKind.RETRIED, EventKind.REMOVED, EventKind.ENQUEUED, EventKind.RETRY])
def test_anything_else_makes_it_news_again(kind: EventKind) -> None:
    recent, job_id = Recent(), new_job_id()
    recent.read([ended(job_id)], NOW)
    events = told(job_id, EventKind.STARTED, kind, EventKind.SUCCEEDED)
    assert recent.split(events) == (events[1:], events[:1])


@pytest.mark.parametrize(
    "fields",
    [
        {"state": JobState.RUNNING, "finished_ms": None},
        {"state": JobState.FAILED},
        {"epoch": 2},
        {"history": b"error"},
        {"due_ms": 5},
        {"finished_ms": NOW - 3_600_000},
    ],
)
def test_of_others_everything_is_read(fields: dict[str, Any]) -> None:
    recent, job_id = Recent(), new_job_id()
    recent.read([ended(job_id, **fields)], NOW)
    events = told(job_id, EventKind.SUCCEEDED)
    assert recent.split(events) == (events, [])


def test_it_is_bounded() -> None:
    recent, ids = Recent(most=2), [new_job_id() for _ in range(3)]
    recent.read(map(ended, ids), NOW)
    events = [told(one, EventKind.SUCCEEDED)[0] for one in ids]
    assert recent.split(events) == (events[:1], events[1:])


def test_an_attempt_that_ends_has_the_number_under_which_it_began() -> None:
    recent = Recent(most=2)
    begun = [ExecutionRow(job_id=f"job{n}", epoch=7, carrier="main", attempt=n) for n in range(1, 4)]
    recent.number(begun)
    ends = [ExecutionRow(job_id=f"job{n}", epoch=7, carrier="main", ended_ms=NOW) for n in range(1, 4)]
    recent.number(ends)
    assert [run.attempt for run in ends] == [0, 2, 3], "the oldest is forgotten"
