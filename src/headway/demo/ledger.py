"""The account of a run, from what the store has, records and events, not from what anybody counted meanwhile."""

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
    lost: int  # accepted, but not completed
    completed_twice: int  # with more than one completion
    seconds: float  # from the first start to the last completion in the measured queue
    jobs_per_second: float  # of that queue

    @property
    def sound(self) -> bool:
        """Nothing was lost, nothing completed twice."""
        return self.lost == 0 and self.completed_twice == 0


def draw_up(
    accepted: Sequence[JobId], events: Sequence[Event], records: Sequence[JobRecord], *, measured: str
) -> Ledger:
    """Compare what `enqueue` answered (`accepted`) with the store's events and records.

    Jobs that a schedule enqueued count as accepted as well. The rate is that of the queue `measured`: those of the
    others wait for their time.
    """
    kinds = Counter(event.kind for event in events)
    ends = Counter(event.job_id for event in events if event.kind in _TERMINAL)
    ids = {*accepted, *(event.job_id for event in events if event.kind is EventKind.ENQUEUED)}
    done = {record.id for record in records if record.state.terminal}
    taken_back = {event.job_id for event in events if event.kind in _TAKEN_BACK}
    starts = [event.at_ms for event in events if event.kind is EventKind.STARTED and event.queue == measured]
    ended = [record.finished_ms for record in records if record.finished_ms and record.queue == measured]
    seconds = max(0.001, (max(ended, default=0) - min(starts, default=0)) / 1000)
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
        jobs_per_second=round(len(ended) / seconds, 1),
    )
