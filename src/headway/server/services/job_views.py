"""A job as others see it: plain data that JSON can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from headway.app.hiding import without_hidden
from headway.app.info import job_info
from headway.codec import to_builtin
from headway.job import JobState
from headway.server.instants import Instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.app.info import JobInfo
    from headway.app.task import Task
    from headway.brokers.base import LogLine
    from headway.job import JobRecord
    from headway.server.services.shared import Shared


class AttemptError(Struct, frozen=True):
    """How one attempt ended that did not succeed. `type` is the exception's qualified name."""

    attempt: int
    at: Instant
    type: str
    message: str = ""
    traceback: str = ""


class Job(Struct, frozen=True, kw_only=True):
    """A job. Instants that have not come yet are null. Where its arguments cannot be read, `unreadable` says why.

    Arguments of a task that hides some are all in `kwargs`, by name, the hidden ones as `***`.
    """

    id: str
    task: str
    queue: str
    carrier: str
    state: JobState
    priority: int
    args: list[Any]
    kwargs: dict[str, Any]
    headers: dict[str, str]
    result: Any = None
    unreadable: str = ""
    enqueued_at: Instant
    due_at: Instant | None = None
    expires_at: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    attempt: int = 0
    crashes: int = 0
    worker: str | None = None
    key: str | None = None
    tags: tuple[str, ...] = ()
    errors: list[AttemptError]
    reason: str = ""
    progress: float | None = None
    progress_message: str = ""
    cancel_requested: bool = False


class JobPage(Struct, frozen=True):
    """Some jobs, and the cursor behind which the next ones begin; null: those were the last."""

    jobs: list[Job]
    cursor: str | None = None


class LogEntry(Struct, frozen=True):
    """One line of a job's log."""

    at: Instant
    level: str
    message: str


async def job_view(shared: Shared, carrier: str, record: JobRecord, *, fetch: bool) -> Job:
    """Return a record as others see it. `fetch`: also what lies in the offload store."""
    info = await job_info(shared.app, record, fetch=fetch)
    task = shared.app.known_tasks.get(record.task)
    return _view(carrier, info, task)


async def job_views(shared: Shared, records: Iterable[JobRecord]) -> list[Job]:
    """Return the records of a list. Their carriers are asked for once, where there are several."""
    wanted = list(records)
    if len(shared.carriers) == 1:
        (only,) = shared.carriers
        return [await job_view(shared, only, record, fetch=False) for record in wanted]
    where = await shared.located([record.id for record in wanted])
    return [
        await job_view(shared, where[record.id][0] if record.id in where else "", record, fetch=False)
        for record in wanted
    ]


def log_entries(lines: Iterable[LogLine]) -> list[LogEntry]:
    """Return the lines of a log."""
    from headway.clock import from_ms  # noqa: PLC0415 - beside its only use

    return [LogEntry(from_ms(line.at_ms), line.level, line.message) for line in lines]


def plain(value: object) -> Any:  # noqa: ANN401 - any value of JSON
    """Return a value of any type as JSON has it."""
    return msgspec.to_builtins(value, enc_hook=_shown, str_keys=True)


def _shown(value: object) -> object:
    try:
        return to_builtin(value)
    except TypeError:
        return f"({type(value).__name__})"


def _view(carrier: str, info: JobInfo, task: Task[Any, Any] | None) -> Job:
    unreadable, args, kwargs, result = info.unreadable, list[Any](), dict[str, Any](), None
    try:
        result = plain(info.result)
        if task is not None and task.options_declared.hide:
            # By name, so that what is hidden can be told: as the records have them.
            named = task.signature.by_name(info.args, info.kwargs)
            kwargs = without_hidden(plain(named), task.options_declared.hide)
        else:
            args, kwargs = [plain(one) for one in info.args], plain(info.kwargs)
    except Exception as error:  # noqa: BLE001 - also whatever a model raises when it is asked for its fields
        unreadable = unreadable or f"its arguments or result cannot be shown: {type(error).__name__}"
    return Job(
        id=info.id,
        task=info.task,
        queue=info.queue,
        carrier=carrier,
        state=info.state,
        priority=info.priority,
        args=args,
        kwargs=kwargs,
        headers=info.headers,
        result=result,
        unreadable=unreadable,
        enqueued_at=info.enqueued_at,
        due_at=info.due_at,
        expires_at=info.expires_at,
        started_at=info.started_at,
        finished_at=info.finished_at,
        attempt=info.attempt,
        crashes=info.crashes,
        worker=info.worker,
        key=info.key,
        tags=info.tags,
        errors=[
            AttemptError(one.attempt, one.at, one.type, one.message, one.traceback) for one in info.errors
        ],
        reason=info.reason,
        progress=info.progress,
        progress_message=info.progress_message,
        cancel_requested=info.cancel_requested,
    )
