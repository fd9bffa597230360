"""What becomes of a pushed job as it runs: pure functions from what the guard keeps of it to what it keeps next.

Each returns the next document, or says why there is none. The guard swaps it in by comparing versions; when somebody
else was faster, it reads again and asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from headway.brokers.base import LogLine, Progress
from headway.guards.document import Document, Line, PushedJob, fresh
from headway.job import (
    Cancelled,
    Expired,
    Failed,
    JobState,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    WorkerId,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.job import JobId, Lease

WAITING: Final = frozenset({JobState.SCHEDULED, JobState.READY})
_LOG_BYTES: Final = 128 * 1024  # of a job's log: it is written anew with each change of the job


class Begun(Struct, frozen=True):
    """This delivery runs the job: `document` is what is to be kept."""

    document: Document


class Busy(Struct, frozen=True):
    """Somebody runs it under a lease that holds for so long."""

    retry_in_ms: int


class Complete(Struct, frozen=True):
    """There is nothing to run: it has completed, or was removed."""

    document: Document


class Behind(Struct, frozen=True):
    """This delivery is of an earlier turn: the task of `next` must exist, then it is done."""

    next: PushedJob


Beginning = Begun | Busy | Complete | Behind


def begin(
    document: Document | None,
    pushed: PushedJob,
    *,
    worker: WorkerId,
    now_ms: int,
    lease_ms: int,
    unused: frozenset[WorkerId] = frozenset(),
) -> Beginning:
    """A task was delivered. `unused`: holders of this job's lease under whom it is known not to run."""
    if document is None:
        return _start(fresh(pushed, JobState.READY), worker, now_ms, lease_ms)
    if document.removed or document.state.terminal:
        return Complete(document)
    if pushed.turn < document.turn:
        return Behind(document.pushed)
    if document.state is JobState.RUNNING and document.worker in unused:
        document = replace(document, attempt=document.attempt - 1)
    elif document.state is JobState.RUNNING:
        if document.lease_until_ms > now_ms:
            return Busy(document.lease_until_ms - now_ms)
        document = replace(document, crashes=document.crashes + 1)
    # A later turn than the one that is known: the store lost a write. The task is right.
    return _start(replace(document, turn=pushed.turn), worker, now_ms, lease_ms)


def _start(document: Document, worker: WorkerId, now_ms: int, lease_ms: int) -> Begun:
    return Begun(
        replace(
            document,
            state=JobState.RUNNING,
            worker=worker,
            epoch=document.epoch + 1,
            attempt=document.attempt + 1,
            started_ms=now_ms,
            lease_until_ms=now_ms + lease_ms,
        )
    )


def is_over(document: Document, now_ms: int) -> bool:
    """Tell whether the job runs under a lease whose time is over."""
    return document.state is JobState.RUNNING and document.lease_until_ms <= now_ms


def give_back(document: Document | None, worker: WorkerId) -> Document | None:
    """Give back a lease that was taken, and under which nothing ran; None: it is not held by this holder."""
    if document is None or document.state is not JobState.RUNNING or document.worker != worker:
        return None
    return replace(document, state=JobState.READY, attempt=document.attempt - 1, worker=None)


def holds(document: Document | None, lease: Lease) -> bool:
    """Tell whether the job runs under this very lease. Its time may be over, as long as nobody took the job over."""
    return (
        document is not None
        and document.state is JobState.RUNNING
        and document.epoch == lease.epoch
        and document.worker == lease.worker
    )


def extend(document: Document | None, lease: Lease, *, now_ms: int, lease_ms: int) -> Document | None:
    """Extend the lease; None: it is lost."""
    if document is None or not holds(document, lease):
        return None
    return replace(document, lease_until_ms=now_ms + lease_ms)


def settle(  # noqa: PLR0911 - one for each outcome
    document: Document | None, lease: Lease, outcome: Outcome, *, now_ms: int
) -> Document | None:
    """Apply an outcome under its lease; None: superseded. A cancellation asked for meanwhile stops what would go on."""
    if document is None or not holds(document, lease):
        return None
    cancelled = document.cancel_requested
    match outcome:
        case Succeeded(result=result):
            return end(replace(document, result=result), JobState.SUCCEEDED, now_ms)
        case Failed(history=history):
            return end(replace(document, history=history), JobState.FAILED, now_ms)
        case Cancelled(reason=reason):
            return end(document, JobState.CANCELLED, now_ms, reason=reason or document.reason)
        case Expired():
            return end(document, JobState.EXPIRED, now_ms)
        case RetryAt(at_ms=at_ms, history=history, counted=counted):
            document = replace(document, history=history)
            if cancelled:
                return end(document, JobState.CANCELLED, now_ms, reason=document.reason)
            return replace(
                document,
                state=JobState.READY if at_ms <= now_ms else JobState.SCHEDULED,
                due_ms=at_ms,
                turn=document.turn + 1,
                attempt=document.attempt - (0 if counted else 1),
                worker=None,
            )
        case Released():
            if cancelled:
                return end(document, JobState.CANCELLED, now_ms, reason=document.reason)
            return replace(document, state=JobState.READY, attempt=document.attempt - 1, worker=None)
        case _:
            assert_never(outcome)


def was_settled(  # noqa: PLR0911 - one for each outcome
    document: Document, lease: Lease, outcome: Outcome
) -> bool:
    """Tell whether this very outcome was applied before: the answer of that swap did not come, so it is repeated.

    Under this epoch nobody but the lease's holder settles.
    """
    if document.removed or document.epoch != lease.epoch or document.state is JobState.RUNNING:
        return False
    if document.cancel_requested and isinstance(outcome, RetryAt | Released):
        return document.state is JobState.CANCELLED
    match outcome:
        case Succeeded():
            return document.state is JobState.SUCCEEDED
        case Failed():
            return document.state is JobState.FAILED
        case Cancelled():
            return document.state is JobState.CANCELLED
        case Expired():
            return document.state is JobState.EXPIRED
        case RetryAt(at_ms=at_ms):
            return document.state in WAITING and document.due_ms == at_ms
        case Released():
            return document.state is JobState.READY
        case _:
            assert_never(outcome)


def report(
    document: Document | None, lease: Lease, contents: Sequence[Progress | LogLine], *, max_lines: int
) -> Document | None:
    """Record progress and log lines under a lease; None: superseded."""
    if document is None or not holds(document, lease):
        return None
    lines: list[Line] = list(document.log)
    fraction, message = document.progress, document.progress_message
    for content in contents:
        match content:
            case Progress():
                fraction, message = content.fraction, content.message
            case LogLine():
                lines.append(Line(content.at_ms, content.level, content.message))
            case _:
                assert_never(content)
    return replace(document, progress=fraction, progress_message=message, log=_last(lines, max_lines))


def malformed(job_id: JobId, queue: str, body: bytes, history: bytes, *, now_ms: int) -> Document:
    """The dead-letter record of a body that could not be read."""
    document = Document(
        id=job_id,
        task="",
        queue=queue,
        payload=body,
        priority=0,
        state=JobState.READY,
        history=history,
    )
    return end(document, JobState.FAILED, now_ms, reason="the body of its task cannot be read")


def without_log(document: Document | None) -> Document | None:
    """Leave the log out: what grows while a job runs, and is worth less than how it ends."""
    return None if document is None else replace(document, log=())


def refused(document: Document, history: bytes, *, now_ms: int, whole: bool) -> Document:
    """The dead-letter record of a job of which the store refuses to keep more. Not `whole`: without its call, too."""
    document = replace(document, history=history, result=b"", log=(), progress_message="")
    document = document if whole else replace(document, payload=b"", cut=True)
    return end(document, JobState.FAILED, now_ms, reason="the guard's store refuses what is to be kept of it")


def damaged(pushed: PushedJob, history: bytes, *, now_ms: int) -> Document:
    """The dead-letter record of a job whose entry cannot be read: whether it has run, only people can find out."""
    document = replace(fresh(pushed, JobState.READY), history=history)
    return end(document, JobState.FAILED, now_ms, reason="what the guard kept of it cannot be read")


def end(document: Document, state: JobState, now_ms: int, *, reason: str | None = None) -> Document:
    """End a job, for the reason it has already unless another is given."""
    return replace(
        document,
        state=state,
        finished_ms=now_ms,
        reason=document.reason if reason is None else reason,
    )


def _last(lines: list[Line], max_lines: int) -> tuple[Line, ...]:
    """Keep the last lines: they tell how it ended."""
    kept: list[Line] = []
    room = _LOG_BYTES
    for line in reversed(lines[-max_lines:] if max_lines else []):
        room -= len(line.message.encode()) + len(line.level) + 16
        if room < 0 and kept:
            break
        kept.append(line)
    return tuple(reversed(kept))
