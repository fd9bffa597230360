"""The check itself: it must find what it is there to find."""

from __future__ import annotations

from typing import Any

import pytest

from headway.events import Event, EventKind
from headway.job import JobId, JobRecord, JobState
from tests.faults.ledger import Ledger, LedgerError
from tests.faults.oracle import hurried
from tests.faults.plans import Want

JOB = JobId("0" * 20)
E, S, RECLAIMED, DONE = EventKind.ENQUEUED, EventKind.STARTED, EventKind.RECLAIMED, EventKind.SUCCEEDED


def _record(state: JobState = JobState.SUCCEEDED, **fields: Any) -> JobRecord:
    told = {"attempt": 1, "epoch": 1, **fields}
    return JobRecord(id=JOB, task="quick", queue="default", state=state, priority=5, payload=b"", **told)


def _ledger(
    record: JobRecord | None,
    events: list[tuple[EventKind, int]],
    effects: tuple[str, ...] = ("start", "end"),
    job_id: JobId = JOB,
) -> Ledger:
    told = [
        Event(str(number), kind, job_id, 0, "default", epoch) for number, (kind, epoch) in enumerate(events)
    ]
    return Ledger([JOB], [record], told, [{"job": JOB, "what": what} for what in effects])


def test_a_plain_life_passes() -> None:
    _ledger(_record(), [(E, 0), (S, 1), (DONE, 1)]).check()


def test_a_life_with_a_crash_and_a_late_completion_passes() -> None:
    events = [(E, 0), (S, 1), (RECLAIMED, 1), (S, 2), (DONE, 2), (EventKind.SUPERSEDED, 1)]
    record = _record(attempt=2, epoch=2, crashes=1)
    _ledger(record, events, ("start", "start", "end", "end")).check()


@pytest.mark.parametrize(
    ("record", "events", "effects", "told"),
    [
        (None, [(E, 0)], (), "lost: the carrier does not know it"),
        (_record(JobState.READY), [(E, 0), (S, 1)], ("start",), "lost: still ready"),
        (_record(JobState.RUNNING), [(E, 0), (S, 1)], ("start",), "lost: still running"),
        (_record(), [(E, 0), (S, 1), (DONE, 1), (DONE, 1)], ("start", "end"), "2 terminal events"),
        (_record(), [(E, 0), (S, 1)], ("start", "end"), "0 terminal events"),
        (_record(), [(E, 0), (S, 1), (EventKind.FAILED, 1)], ("start", "end"), "last terminal event"),
        (_record(epoch=2), [(E, 0), (S, 2), (DONE, 2)], ("start", "end"), "epochs of starts [2]"),
        (_record(epoch=2), [(E, 0), (S, 1), (S, 2), (DONE, 2)], ("start", "end"), "2 starts, 1 ends"),
        (_record(attempt=2), [(E, 0), (S, 1), (DONE, 1)], ("start", "end"), "attempt 2, crashes 0, epoch 1"),
        (_record(), [(E, 0), (S, 1), (DONE, 1)], ("start",), "handler completed 0 times"),
        (_record(), [(E, 0), (S, 1), (DONE, 1)], ("start", "end", "start", "end"), "handler started 2 times"),
    ],
)
def test_what_must_not_be_is_found(
    record: JobRecord | None, events: list[tuple[EventKind, int]], effects: tuple[str, ...], told: str
) -> None:
    with pytest.raises(LedgerError) as caught:
        _ledger(record, events, effects).check()
    assert told in str(caught.value)


def test_a_job_that_nobody_enqueued_is_found() -> None:
    with pytest.raises(LedgerError, match="1 that nobody enqueued"):
        _ledger(_record(), [(E, 0), (S, 1), (DONE, 1)], job_id=JobId("1" * 20)).check()


def test_lost_and_twice_are_counted() -> None:
    ledger = _ledger(_record(), [(E, 0), (S, 1), (DONE, 1), (DONE, 1)])
    assert (ledger.lost, ledger.twice) == ([], [JOB])
    assert _ledger(None, []).lost == [JOB]


@pytest.mark.parametrize(
    ("following", "found"),
    [
        ({"attempt": 2, "crashes": 0, "at_ms": 700}, 1),
        ({"attempt": 2, "crashes": 0, "at_ms": 2000}, 0),
        ({"attempt": 1, "crashes": 0, "at_ms": 700}, 0),  # it died before its failure was settled
        ({"attempt": 2, "crashes": 1, "at_ms": 700}, 0),  # and was charged for it
        ({"attempt": 3, "crashes": 1, "at_ms": 700}, 1),
    ],
)
def test_an_attempt_that_came_too_early_is_found(following: dict[str, int], found: int) -> None:
    lines = [{"what": "raised", "attempt": 1, "crashes": 0, "at_ms": 0}, {"what": "start", **following}]
    assert len(hurried(Want(pause=2.0), lines)) == found
