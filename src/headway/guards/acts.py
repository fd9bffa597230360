"""What people do to a pushed job, and its way to and from other carriers: pure functions as in `transitions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.guards.document import Document, PushedJob, fresh, tombstone
from headway.guards.transitions import WAITING, end
from headway.job import JobState

if TYPE_CHECKING:
    from headway.job import NewJob, Past

_RETRYABLE: Final = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


def cancel(document: Document, reason: str, *, now_ms: int) -> Document | None:
    """Cancel a waiting job, ask the holder of a running one; None: it has completed."""
    if document.removed or document.state.terminal:
        return None
    if document.state is JobState.RUNNING:
        if document.lease_until_ms <= now_ms:
            return end(document, JobState.CANCELLED, now_ms, reason=reason)
        return replace(document, cancel_requested=True, reason=reason)
    return end(document, JobState.CANCELLED, now_ms, reason=reason)


def cancel_unknown(pushed: PushedJob, reason: str, *, now_ms: int) -> Document:
    """Cancel a job that was never delivered."""
    return end(fresh(pushed, JobState.READY), JobState.CANCELLED, now_ms, reason=reason)


def withdraw(document: Document, reason: str, *, now_ms: int) -> Document | None:
    """End a waiting job that is to go on elsewhere; None: it runs, has ended, or is overdue."""
    overdue = document.expires_ms is not None and document.expires_ms <= now_ms
    if document.removed or document.state not in WAITING or overdue:
        return None
    return replace(end(document, JobState.CANCELLED, now_ms, reason=reason), withdrawn=True)


def before_withdrawal(document: Document) -> Document:
    """Return a withdrawn job as it was before."""
    return replace(
        document,
        state=JobState.READY
        if document.due_ms is None
        else JobState.SCHEDULED,  # of one that is due it is seen
        finished_ms=None,
        reason="",
        withdrawn=False,
        epoch=document.last_epoch,
    )


def admit(document: Document | None, job: NewJob, past: Past, *, now_ms: int) -> Document | None:
    """Take in a job that comes from elsewhere; None: it is here, or went from here under no lower epoch.

    Its first turn has the number of its epoch: a name that no task of the job has had here before.
    """
    if document is not None:
        left = document.removed or document.withdrawn
        if not left or past.epoch <= document.last_epoch:
            return None
    later = job.due_ms is not None and job.due_ms > now_ms
    return replace(
        fresh(PushedJob(job, past.epoch), JobState.SCHEDULED if later else JobState.READY),
        attempt=past.attempt,
        crashes=past.crashes,
        history=past.history,
        epoch=past.epoch,
        left_due_ms=None if document is None else document.last_due_ms or None,
    )


def remove(document: Document, *, now_ms: int) -> Document | None:
    """Forget a job that does not run; None: it runs, or is gone already."""
    if document.removed or (document.state is JobState.RUNNING and document.lease_until_ms > now_ms):
        return None
    return tombstone(document)


def retry(document: Document, *, now_ms: int) -> Document | None:
    """A new life with fresh attempts; None: it has not failed, been cancelled or expired.

    An expiry that has passed is dropped: it would end the new life at once. A body that was not read names no task.
    """
    overdue = document.expires_ms is not None and document.expires_ms <= now_ms
    waiting_overdue = overdue and document.state in WAITING
    unknown = document.removed or document.cut or document.withdrawn or not document.task
    if unknown or not (document.state in _RETRYABLE or waiting_overdue):
        return None
    return Document(
        id=document.id,
        task=document.task,
        queue=document.queue,
        payload=document.payload,
        priority=document.priority,
        state=JobState.READY,
        turn=document.turn + 1,
        epoch=document.epoch,
        expires_ms=None if overdue else document.expires_ms,
        key=document.key,
        log=document.log,
        left_due_ms=document.last_due_ms or None,
    )


def promote(document: Document, *, now_ms: int) -> Document | None:
    """Make a scheduled retry ready now, by a turn of its own; None: it is not scheduled."""
    if document.removed or document.state is not JobState.SCHEDULED or (document.due_ms or 0) <= now_ms:
        return None
    return replace(
        document,
        state=JobState.READY,
        due_ms=now_ms,
        turn=document.turn + 1,
        left_due_ms=document.last_due_ms,
    )
