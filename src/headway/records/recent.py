"""What a recorder has seen lately, so that it need not read it again; bounded.

A job that had succeeded when it was read, at its first attempt and with no error, is described for good: the events up
to that end add only when its attempt began and ended. That is how a recorder which is behind catches up. It is
forgotten here when anything else is told of it, and all are whenever recording begins anew, since only what lies before
the cursor is sure to be written.

Which attempt began under an epoch is told by the event of its start alone, and wanted when it ends: its error is found
by that number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.events import Event, EventKind
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.job import JobRecord
    from headway.records.written import ExecutionRow

MOST: Final = 100_000
"""Jobs, and attempts, of which this is known: about as many as the events that a carrier keeps."""
_LONG_AGO_MS: Final = 600_000  # what ended before may be forgotten by the records before its events come by
_UP_TO_THE_END: Final = frozenset({EventKind.STARTED, EventKind.SUCCEEDED, EventKind.SUPERSEDED})


class Recent:
    """Jobs that are described for good, and attempts that have begun."""

    def __init__(self, most: int = MOST) -> None:
        """None yet."""
        self._most = most
        self._ended: dict[str, None] = {}
        self._begun: dict[tuple[str, int], int] = {}

    def clear(self) -> None:
        """Forget which jobs are described."""
        self._ended.clear()

    def split(self, events: Iterable[Event]) -> tuple[list[Event], list[Event]]:
        """Return the events that tell something new of their jobs, and those that only tell of an attempt."""
        news: list[Event] = []
        attempts: list[Event] = []
        ended = self._ended
        for event in events:
            if event.job_id not in ended:
                news.append(event)
            elif event.kind in _UP_TO_THE_END:
                attempts.append(event)
            else:
                del ended[event.job_id]
                news.append(event)
        return news, attempts

    def read(self, records: Iterable[JobRecord], now_ms: int) -> None:
        """Remember those that have ended so that no event up to that end says more."""
        for record in records:
            if (
                record.state is JobState.SUCCEEDED
                and record.epoch == 1
                and not record.history
                and record.due_ms is None
                and (record.finished_ms or 0) > now_ms - _LONG_AGO_MS
            ):
                self._ended[record.id] = None
        while len(self._ended) > self._most:
            del self._ended[next(iter(self._ended))]

    def number(self, runs: Iterable[ExecutionRow]) -> None:
        """Say of attempts that end which ones they are, and remember those that begin."""
        begun = self._begun
        for run in runs:
            if run.ended_ms is None:
                begun[run.job_id, run.epoch] = run.attempt
            elif not run.attempt:
                run.attempt = begun.pop((run.job_id, run.epoch), 0)
        while len(begun) > self._most:
            del begun[next(iter(begun))]
