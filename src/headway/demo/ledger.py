"""The account of a run, from what the store has: its records and its events, not from what anybody counted meanwhile."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.events import EventKind
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.events import Event
    from headway.job import JobId, JobRecord

_TERMINAL: Final = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED, EventKind.EXPIRED})
_TAKEN_BACK: Final = frozenset({EventKind.RECLAIMED, EventKind.RELEASED})


class Ledger(Struct, frozen=True):
    """Numbers of jobs, but for `attempts`, `retries` and `superseded`, which count events."""

    accepted: int
    completed: int  # in a terminal state
    failed: int  # of these, in the dead-letter state
    attempts: int
    retries: int
    recovered: int  # taken back from the worker that was killed, and completed
    superseded: int  # outcomes that were refused, because the job was someone else's by then
    lost: int  # accepted, but neither completed nor waiting for anything
    completed_twice: int  # with more than one completion
    seconds: float  # from the first start to the last completion
    jobs_per_second: float

    @property
    def sound(self) -> bool:
        """Nothing was lost, nothing completed twice."""
        return self.lost == 0 and self.completed_twice == 0


def draw_up(accepted: Sequence[JobId], events: Sequence[Event], records: Sequence[JobRecord]) -> Ledger:
    """Compare what `enqueue` answered (`accepted`) with the store's events and records.

    Jobs that the store enqueued itself, from a schedule, count as accepted as well.
    """
    kinds = Counter(event.kind for event in events)
    ends = Counter(event.job_id for event in events if event.kind in _TERMINAL)
    ids = {*accepted, *(event.job_id for event in events if event.kind is EventKind.ENQUEUED)}
    done = {record.id for record in records if record.state.terminal}
    taken_back = {event.job_id for event in events if event.kind in _TAKEN_BACK}
    starts = [record.started_ms for record in records if record.started_ms is not None]
    ended = [record.finished_ms for record in records if record.finished_ms is not None]
    first = min((event.at_ms for event in events if event.kind is EventKind.STARTED), default=min(starts, default=0))
    seconds = max(0.001, (max(ended, default=first) - first) / 1000)
    completed = len(ids & done)
    return Ledger(
        accepted=len(ids),
        completed=completed,
        failed=sum(record.state is JobState.FAILED for record in records),
        attempts=kinds[EventKind.STARTED],
        retries=kinds[EventKind.RETRY],
        recovered=len(taken_back & done),
        superseded=kinds[EventKind.SUPERSEDED],
        # A record that says completed must have its event, or the two contradict each other: that is lost as well.
        lost=len(ids) - len({job for job in ids & done if ends[job]}),
        completed_twice=sum(count > 1 for count in ends.values()),
        seconds=round(seconds, 3),
        jobs_per_second=round(completed / seconds, 1),
    )
