"""One line of what happened to a job, made of its attempts and of the rarer events; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from headway.records.values import Execution, Happening, RecordedJob, RecordedLine, Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

_ENQUEUED, _STARTED, _MOVED, _REMOVED = "enqueued", "started", "moved", "removed"
_LEAVING = {_MOVED: 1, "cancelled": 2, _REMOVED: 3}
_ORDER = {
    _ENQUEUED: 0,
    _STARTED: 1,
}  # of one instant: a job is enqueued, then started, then it ends


def timeline(
    job: RecordedJob,
    first_carrier: str,
    executions: Sequence[Execution],
    told: Sequence[Row[Any]],
    logs: tuple[RecordedLine, ...],
) -> Timeline:
    """Put together what the tables say."""
    numbered = tuple(executions)
    attempts = {one.epoch: one.attempt for one in numbered}
    lines = [Happening(job.enqueued_ms, _ENQUEUED, first_carrier)]
    lines += [
        Happening(
            row.at_ms, row.kind, row.carrier, row.epoch, attempts.get(row.epoch, 0), row.worker, row.detail
        )
        for row in told
    ]
    for one in numbered:
        if one.started_ms is not None:
            lines.append(Happening(one.started_ms, _STARTED, one.carrier, one.epoch, one.attempt, one.worker))
        if one.ended_ms is not None and one.outcome is not None:
            detail = "" if one.error_type is None else f"{one.error_type}: {one.error_message or ''}"
            lines.append(
                Happening(one.ended_ms, one.outcome, one.carrier, one.epoch, one.attempt, one.worker, detail)
            )
        if one.superseded_ms is not None:
            lines.append(
                Happening(one.superseded_ms, "superseded", one.carrier, one.epoch, one.attempt, one.worker)
            )
    ended = {(line.kind, line.epoch) for line in lines}
    if job.finished_ms is not None and (job.state, job.epoch) not in ended:
        # It ended while it waited: no attempt has this end.
        lines.append(Happening(job.finished_ms, job.state, job.carrier, job.epoch, detail=job.reason))
    lines = _with_moves(lines, job)
    lines.sort(key=_place)
    return Timeline(job, tuple(lines), numbered, logs)


def _with_moves(lines: Sequence[Happening], job: RecordedJob) -> list[Happening]:
    """Say of a carrier that the job has left that it was moved, once: there it was cancelled, then removed."""
    told: set[tuple[str, int]] = set()
    found: list[Happening] = []
    for line in sorted(lines, key=lambda one: (_LEAVING.get(one.kind, 0), one.at_ms)):
        if line.kind not in _LEAVING or (line.carrier == job.carrier and line.kind != _MOVED):
            found.append(line)
        elif (line.carrier, line.epoch) not in told:
            told.add((line.carrier, line.epoch))
            detail = line.detail or f"moved to {job.carrier}"
            found.append(structs.replace(line, kind=_MOVED, detail=detail))
    return found


def _place(line: Happening) -> tuple[int, int, int]:
    return line.at_ms, line.epoch, _ORDER.get(line.kind, 2)
