"""Whom the death of a process is laid to: each row of the table in docs/explanation/deaths.md."""

from __future__ import annotations

import pytest

from headway.job import JobId
from headway.runtime.deaths import Blame, Cause, blame, runs_alone
from headway.runtime.slots import Started

A, B, APART = (
    Started(JobId("a" * 20), 1.0, 1),
    Started(JobId("b" * 20), 1.0, 1),
    Started(JobId("c" * 20), 1.0, 1, apart=True),
)
ALL = [A, B, APART]


@pytest.mark.parametrize(
    ("cause", "started", "overdue", "known", "expected"),
    [
        (Cause.IN_ORDER, ALL, [], True, Blame()),
        (Cause.STOPPED, ALL, [], True, Blame()),
        (Cause.STOPPED, ALL, [A.job_id], False, Blame()),
        (Cause.ITSELF, [], [], True, Blame()),
        (Cause.ITSELF, ALL, [], True, Blame(crashed=[A.job_id, B.job_id])),
        (Cause.ITSELF, [APART], [], True, Blame()),
        (Cause.OVERDUE, ALL, [A.job_id], True, Blame(timed_out=[A])),
        (Cause.OVERDUE, ALL, [A.job_id, B.job_id], True, Blame(timed_out=[A, B])),
        (Cause.OVERDUE, ALL, [A.job_id], False, Blame(crashed=[A.job_id])),
        (Cause.OVERDUE, [A, APART], [A.job_id], False, Blame(timed_out=[A])),
        (Cause.OVERDUE, [B], [A.job_id], True, Blame()),  # it ended in the last moment
    ],
)
def test_blame(
    cause: Cause, started: list[Started], overdue: list[JobId], known: bool, expected: Blame
) -> None:
    assert blame(cause, started, overdue, known=known) == expected


@pytest.mark.parametrize("cap", range(1, 12))
def test_neighbours_alone_put_nobody_aside(cap: int) -> None:
    """A job is charged for others until it runs alone; from then on only for itself."""
    charged = 0
    while not runs_alone(charged, cap) and charged < cap:
        charged += 1
    assert charged == min(cap, max(1, min(2, cap - 1)))
    assert cap == 1 or charged < cap
    assert not runs_alone(0, cap)
