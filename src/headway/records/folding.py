"""From the events of a carrier to the rows that are written; pure.

Events say what happened and when; the job's record, read behind them, says all else (`describing`). A record may be
ahead of the events: then it is read again with those that follow, so that what is written last is the carrier's last
word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.events import Event, EventKind
from headway.records.values import REMOVED
from headway.records.written import ExecutionRow, HappeningRow, JobRow, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    RouteVersion = Callable[[int], int | None]

ENDED: Final = frozenset({EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED, EventKind.EXPIRED})
"""Kinds after which a job has ended."""
ENDS: Final = ENDED | {EventKind.RETRY, EventKind.RELEASED, EventKind.RECLAIMED}
"""Kinds after which an attempt has ended."""
_STATE_AFTER: Final = {
    EventKind.ENQUEUED: "ready",
    EventKind.STARTED: "running",
    EventKind.RETRY: "scheduled",
    EventKind.RELEASED: "ready",
    EventKind.RECLAIMED: "ready",
    EventKind.RETRIED: "ready",
    EventKind.REMOVED: REMOVED,
    **{kind: kind.value for kind in ENDED},
}


class Folding:
    """Rows of what one carrier tells, while they are made."""

    def __init__(self, carrier: str, route_version: RouteVersion) -> None:
        """`route_version` returns the version of the routes that was in force at an instant."""
        self.carrier = carrier
        self.rows = Rows()
        self._route_version = route_version
        self._runs: dict[str, list[ExecutionRow]] = {}

    def events(self, events: Iterable[Event]) -> None:
        """Take events in their order."""
        for event in events:
            self._happened(self.job(event.job_id), event)

    def attempts(self, events: Iterable[Event]) -> None:
        """Take events of which only what they say of an attempt is wanted."""
        for event in events:
            if event.kind is EventKind.SUPERSEDED:
                self._superseded(event)
            elif event.kind is EventKind.STARTED:
                self._run(event)
            else:
                self._ended(event)

    def job(self, job_id: str) -> JobRow:
        """Return the row of a job, a new one if there is none."""
        row = self.rows.jobs.get(job_id)
        if row is None:
            row = JobRow(id=job_id, carrier=self.carrier, state="ready", first_carrier=self.carrier)
            self.rows.jobs[job_id] = row
        return row

    def execution(self, job_id: str, epoch: int) -> ExecutionRow:
        """Return the row of an attempt, a new one if there is none."""
        key = job_id, epoch
        row = self.rows.executions.get(key)
        if row is None:
            row = ExecutionRow(job_id=job_id, epoch=epoch, carrier=self.carrier)
            self.rows.executions[key] = row
            self._runs.setdefault(job_id, []).append(row)
        return row

    def executions_of(self, job_id: str) -> list[ExecutionRow]:
        """Return the rows of a job's attempts that there are by now."""
        return self._runs.get(job_id, [])

    def accepted(self, row: JobRow, at_ms: int) -> None:
        """Note under which routes the job came here."""
        row.route_version = self._route_version(at_ms)

    def told(self, job_id: str, at_ms: int, kind: str, epoch: int, detail: str = "") -> None:
        """Note what no attempt says."""
        self.rows.happenings.append(HappeningRow(job_id, at_ms, kind, self.carrier, epoch, None, detail))

    def _happened(self, row: JobRow, event: Event) -> None:
        kind = event.kind
        row.queue = event.queue or row.queue
        if kind is EventKind.SUPERSEDED:
            self._superseded(event)
            return
        row.epoch = max(row.epoch, event.epoch)
        if kind is EventKind.ENQUEUED:
            self.accepted(row, event.at_ms)
        elif kind is EventKind.STARTED:
            self._started(row, event)
        elif kind in ENDS:
            self._ended(event)
        else:  # retried by hand, or removed
            self.told(row.id, event.at_ms, kind.value, event.epoch)
        if kind is EventKind.REMOVED:
            row.removed_ms = event.at_ms
            if row.finished_ms is not None:
                return  # its end is what became of it
            row.finished_ms = event.at_ms
        else:
            row.removed_ms = None
            row.finished_ms = event.at_ms if kind in ENDED else None
        row.state = _STATE_AFTER[kind]

    def _superseded(self, event: Event) -> None:
        if event.epoch > 0:
            late = self.execution(event.job_id, event.epoch)
            late.superseded_ms = event.at_ms
            late.worker = late.worker or event.worker

    def _started(self, row: JobRow, event: Event) -> None:
        self._run(event)
        row.started_ms, row.worker = event.at_ms, event.worker
        row.attempt = event.attempt or row.attempt

    def _run(self, event: Event) -> None:
        run = self.execution(event.job_id, event.epoch)
        run.started_ms, run.worker, run.attempt = event.at_ms, event.worker, event.attempt

    def _ended(self, event: Event) -> None:
        if event.worker is None or event.epoch <= 0:
            # It ended while it waited: no attempt has this end.
            self.told(event.job_id, event.at_ms, event.kind.value, event.epoch)
            return
        run = self.execution(event.job_id, event.epoch)
        if run.ended_ms is None:
            run.ended_ms, run.outcome = event.at_ms, event.kind.value
            run.worker = run.worker or event.worker
