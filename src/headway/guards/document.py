"""What the guard keeps of one job, and how it becomes an entry of the store and a record for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.guards.base import Entry, read_data
from headway.job import JobId, JobRecord, JobState, NewJob, WorkerId

if TYPE_CHECKING:
    from headway.brokers.base import Retention

DAY_MS: Final = 24 * 3600 * 1000
ABANDONED_MS: Final = 32 * DAY_MS
"""Cloud Tasks forgets a task after 31 days: what waits or runs longer than this behind its due time never ends."""
ECHO_MS: Final = 3600 * 1000
"""How long a removed or completed job is remembered at least: a second delivery of it may still be on its way.

Where a task of it is due later, it is remembered for as long behind that: its deletion may have failed.
"""
REMOVED_GROUP: Final = ":removed"
_PREFIX: Final = "job/"


class Line(Struct, frozen=True, array_like=True):
    """A log line."""

    at_ms: int
    level: str
    message: str


class PushedJob(Struct, frozen=True):
    """A job as a task of the dispatcher carries it.

    `turn` counts the tasks that were made for it: 0 at enqueue, one more for each retry, by policy or by hand.
    """

    job: NewJob
    turn: int = 0


class Document(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job that was delivered at least once, or was ended before that. Instants are epoch milliseconds."""

    id: JobId
    task: str
    queue: str
    payload: bytes
    priority: int
    state: JobState
    turn: int = 0
    attempt: int = 0
    epoch: int = 0
    crashes: int = 0
    due_ms: int | None = None
    expires_ms: int | None = None
    key: str | None = None
    worker: WorkerId | None = None
    lease_until_ms: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    result: bytes = b""
    history: bytes = b""
    reason: str = ""
    progress: float | None = None
    progress_message: str = ""
    cancel_requested: bool = False
    removed: bool = False
    cut: bool = False  # the store did not take its call: there is nothing to run again
    log: tuple[Line, ...] = ()
    withdrawn: bool = False  # it ended here to go on elsewhere
    left_due_ms: int | None = None  # the latest due time of the turns that were left before it

    @property
    def last_due_ms(self) -> int:
        """The latest instant at which a task of the job is due; 0: all were due at once."""
        return max(self.due_ms or 0, self.left_due_ms or 0)

    @property
    def last_epoch(self) -> int:
        """The highest number that a lease or a task of the job has had: where it goes on, it goes on behind that."""
        return max(self.epoch, self.turn)

    @property
    def pushed(self) -> PushedJob:
        """The job as the task of its present turn carries it."""
        return PushedJob(
            NewJob(
                id=self.id,
                task=self.task,
                queue=self.queue,
                payload=self.payload,
                priority=self.priority,
                due_ms=self.due_ms,
                expires_ms=self.expires_ms,
                key=self.key,
            ),
            self.turn,
        )


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Document).decode


def entry_key(job_id: JobId) -> str:
    """Return the key under which a job is kept."""
    return _PREFIX + job_id


def fresh(pushed: PushedJob, state: JobState) -> Document:
    """Return the document of a job of which nothing was known."""
    job = pushed.job
    return Document(
        id=job.id,
        task=job.task,
        queue=job.queue,
        payload=job.payload,
        priority=job.priority,
        state=state,
        turn=pushed.turn,
        due_ms=job.due_ms,
        expires_ms=job.expires_ms,
        key=job.key,
    )


def tombstone(document: Document) -> Document:
    """Return what is kept of a removed job, so that a late delivery finds it gone, and its task can be found."""
    return Document(
        id=document.id,
        task="",
        queue=document.queue,
        payload=b"",
        priority=document.priority,
        state=JobState.CANCELLED,
        turn=document.turn,
        epoch=document.epoch,
        removed=True,
        left_due_ms=document.last_due_ms or None,
    )


def to_entry(document: Document, version: int, *, now_ms: int, retention: Retention) -> Entry:
    """Return the entry of a document, with the instant from which the store may forget it."""
    if document.removed:
        group, tag, forget = REMOVED_GROUP, "", max(now_ms, document.last_due_ms) + ECHO_MS
    elif document.state.terminal:
        ended = now_ms if document.finished_ms is None else document.finished_ms
        kept = _kept_ms(document.state, retention)
        group, tag = document.queue, str(document.state)
        forget = max(ended + max(kept, ECHO_MS), document.last_due_ms + ECHO_MS)
    else:
        group, tag = document.queue, str(document.state)
        forget = max(now_ms, document.due_ms or 0) + ABANDONED_MS
    return Entry(
        key=entry_key(document.id),
        version=version,
        group=group,
        tag=tag,
        changed_ms=now_ms,
        forget_ms=forget,
        data=_encode(document),
    )


def remembered_ms(retention: Retention) -> int:
    """Return for how long each job is remembered behind its end, whatever its outcome."""
    return max(ECHO_MS, min(retention.succeeded_ms, retention.failed_ms))


def _kept_ms(state: JobState, retention: Retention) -> int:
    return retention.failed_ms if state is JobState.FAILED else retention.succeeded_ms


def from_entry(entry: Entry) -> Document:
    """Read an entry; CodecError when its bytes are damaged."""
    return read_data(entry, _decode)


def to_record(document: Document, *, now_ms: int, retention: Retention) -> JobRecord | None:
    """Return what people see of it; None when it was removed or its retention is over."""
    if document.removed:
        return None
    state = document.state
    finished = document.finished_ms
    if state.terminal and finished is not None and finished + _kept_ms(state, retention) < now_ms:
        return None
    overdue = document.expires_ms is not None and document.expires_ms <= now_ms
    if overdue and state in {JobState.SCHEDULED, JobState.READY}:
        state = JobState.EXPIRED  # its delivery will find it so
    elif state is JobState.SCHEDULED and document.due_ms is not None and document.due_ms <= now_ms:
        state = JobState.READY
    return JobRecord(
        id=document.id,
        task=document.task,
        queue=document.queue,
        state=state,
        priority=document.priority,
        payload=document.payload,
        attempt=document.attempt,
        epoch=document.epoch,
        crashes=document.crashes,
        due_ms=document.due_ms,
        expires_ms=document.expires_ms,
        started_ms=document.started_ms,
        finished_ms=finished,
        worker=document.worker,
        key=document.key,
        result=document.result,
        history=document.history,
        reason=document.reason,
        progress=document.progress,
        progress_message=document.progress_message,
        cancel_requested=document.cancel_requested,
        withdrawn=document.withdrawn,
    )
