"""What is known of a job and of a queue, as values of Python: instants with a zone, arguments and results as given."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headway.clock import from_ms
from headway.codec import argument_decoder, decode_call, decode_history, decode_result, is_reference
from headway.errors import CodecError, HeadwayError
from headway.job import JobId, JobRecord, JobState

if TYPE_CHECKING:
    from datetime import timedelta

    from headway.app.parts import JobSource
    from headway.brokers.base import QueueCounts


class AttemptInfo(Struct, frozen=True):
    """How one attempt ended that did not succeed. `type` is the exception's qualified name."""

    attempt: int
    at: datetime
    type: str
    message: str = ""
    traceback: str = ""


class JobInfo(Struct, frozen=True, kw_only=True):
    """All that is known of a job. Instants are in UTC; those that have not come yet are None.

    `args`, `kwargs` and `result` are of the types that the task is annotated with, of built-in types when it is not
    declared in this app. Where they cannot be read here, they are empty and `unreadable` says why.
    """

    id: JobId
    task: str
    queue: str
    state: JobState
    priority: int
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    headers: dict[str, str] = {}
    result: Any = None
    unreadable: str = ""
    enqueued_at: datetime
    due_at: datetime | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None  # the latest attempt
    finished_at: datetime | None = None
    attempt: int = 0  # 1 at the first start
    crashes: int = 0  # how often a worker died over it
    worker: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()  # of its task, as declared in this app
    errors: tuple[AttemptInfo, ...] = ()  # of its attempts, oldest first
    reason: str = ""  # why it was cancelled
    progress: float | None = None  # 0 to 1
    progress_message: str = ""
    cancel_requested: bool = False
    raw: JobRecord  # as the carrier has it, for tools

    @property
    def error(self) -> AttemptInfo | None:
        """The error of the last attempt that failed."""
        return self.errors[-1] if self.errors else None

    @property
    def waited(self) -> timedelta | None:
        """How long it waited from its due time to the start of its latest attempt; None before that."""
        if self.started_at is None:
            return None
        return self.started_at - (self.due_at or self.enqueued_at)

    @property
    def ran(self) -> timedelta | None:
        """How long its latest attempt took; None before its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


class JobList(Struct, frozen=True):
    """Some jobs, and the cursor behind which the next ones begin; None: those were the last."""

    jobs: list[JobInfo]
    cursor: str | None = None


class QueueInfo(Struct, frozen=True):
    """A queue: whether it is paused, its jobs by state, and since when its oldest ready job waits."""

    name: str
    paused: bool
    counts: dict[JobState, int]
    oldest_ready_at: datetime | None = None


async def job_info(app: JobSource, record: JobRecord, *, fetch: bool) -> JobInfo:
    """Read a record; never raises for what is in it. `fetch`: also what lies in the offload store."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    headers: dict[str, str] = {}
    result: Any = None
    unreadable = ""
    task = app.known_tasks.get(record.task)
    try:
        call, form = decode_call(await _whole(app, record.payload, fetch=fetch))
        headers = call.headers
        if task is None:
            read = argument_decoder(Any, form)
            args = tuple(read(raw) for raw in call.args)
            kwargs = {name: read(raw) for name, raw in call.kwargs.items()}
        else:
            positional, kwargs = task.signature.decode(call, form)
            args = tuple(positional)
        if record.result:
            kind = Any if task is None else task.signature.result_type
            result = decode_result(await _whole(app, record.result, fetch=fetch), kind)
    except (HeadwayError, ValueError, RecursionError) as error:
        unreadable = str(error)
    return JobInfo(
        id=record.id,
        task=record.task,
        queue=record.queue,
        state=record.state,
        priority=record.priority,
        args=args,
        kwargs=kwargs,
        headers=headers,
        result=result,
        unreadable=unreadable,
        enqueued_at=from_ms(record.enqueued_ms),
        due_at=_instant(record.due_ms),
        expires_at=_instant(record.expires_ms),
        started_at=_instant(record.started_ms),
        finished_at=_instant(record.finished_ms),
        attempt=record.attempt,
        crashes=record.crashes,
        worker=record.worker,
        key=record.key,
        tags=() if task is None else task.tags,
        errors=tuple(
            AttemptInfo(one.attempt, from_ms(one.at_ms), one.type, one.message, one.traceback)
            for one in decode_history(record.history)
        ),
        reason=record.reason,
        progress=record.progress,
        progress_message=record.progress_message,
        cancel_requested=record.cancel_requested,
        raw=record,
    )


def queue_info(counts: QueueCounts) -> QueueInfo:
    """Give what a carrier counted as values of Python."""
    return QueueInfo(counts.queue, counts.paused, dict(counts.counts), _instant(counts.oldest_ready_ms))


async def _whole(app: JobSource, payload: bytes, *, fetch: bool) -> bytes:
    if not is_reference(payload):
        return payload
    if not fetch:
        msg = "it lies in the offload store, which is asked for single jobs only: app.job(id).record()"
        raise CodecError(msg)
    from headway.offload.payloads import whole  # noqa: PLC0415 - loads asyncio, for large payloads only

    return await whole(app.offload, payload)


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
