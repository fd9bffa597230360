"""The body of a task: one job, versioned. What comes back by HTTP is hostile input until it was verified and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from headway.errors import CodecError
from headway.guards.document import PushedJob
from headway.job import PRIORITY_MAX, PRIORITY_MIN, Fire, JobId, NewJob, is_job_id
from headway.names import MAX_KEY, MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE: Final = "application/vnd.headway.job+msgpack"
VERSION: Final = 1

# Every store can hold what passes: bounded, and names without NUL, which PostgreSQL does not take.
_TEXT: Final = r"\A[^\x00]+\Z"
_QUEUE: Final = r"\A[^\x00:][^\x00]*\Z"  # what begins with a colon is the guard's own
_Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=_TEXT)]
_Queue = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=_QUEUE)]
_Instant = Annotated[int, Meta(ge=0, le=2**53)]
_Turn = Annotated[int, Meta(ge=0, le=2**31)]
_Priority = Annotated[int, Meta(ge=PRIORITY_MIN, le=PRIORITY_MAX)]
_Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY, pattern=_TEXT)]


class NewerMessageError(CodecError):
    """The message was written by a newer Headway: a receiver of that version will read it."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the message is of version {version}, this Headway reads version {VERSION}")


class _Message(Struct, frozen=True, array_like=True):
    """New fields go to the end, with a default: then both older and newer readers read it, under one version."""

    version: int
    namespace: _Name
    id: str
    task: _Name
    queue: _Queue
    payload: bytes
    turn: _Turn
    priority: _Priority
    due_ms: _Instant | None = None
    expires_ms: _Instant | None = None
    key: _Key | None = None
    schedule: _Name | None = None
    fire_ms: _Instant | None = None


def encode(namespace: str, pushed: PushedJob) -> bytes:
    """Write the body of the task that carries this turn of a job of the app."""
    job = pushed.job
    fire = job.fire
    return _ENCODE(
        _Message(
            VERSION,
            namespace,
            job.id,
            job.task,
            job.queue,
            job.payload,
            pushed.turn,
            job.priority,
            job.due_ms,
            job.expires_ms,
            job.key,
            None if fire is None else fire.schedule,
            None if fire is None else fire.at_ms,
        )
    )


def refusal(job: NewJob) -> str | None:
    """Say what of a job no message can carry; None: it can be sent, and read again."""
    for what, name in (("task", job.task), ("queue", job.queue)):
        if not 0 < len(name) <= MAX_NAME or "\x00" in name:
            return f"the name of its {what} must have 1 to {MAX_NAME} characters, and no NUL, got {name!r}"
    if job.queue.startswith(":"):
        return f"the name of its queue must not begin with a colon, got {job.queue!r}"
    if job.key is not None and (not 0 < len(job.key) <= MAX_KEY or "\x00" in job.key):
        return f"its key must have 1 to {MAX_KEY} characters, and no NUL"
    return None


def decode(body: bytes) -> tuple[str, PushedJob]:
    """Read a body: the app's namespace, and the job with its turn; CodecError says what is wrong with it."""
    try:
        message = _DECODE(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        version = _version_of(body)
        if version is not None and version > VERSION:
            raise NewerMessageError(version) from error
        msg = f"the message is damaged or none of Headway: {error}"
        raise CodecError(msg) from error
    if message.version > VERSION:
        raise NewerMessageError(message.version)
    if message.version != VERSION:
        msg = f"the message is damaged: there is no version {message.version}"
        raise CodecError(msg)
    if not is_job_id(message.id):
        msg = "the message is damaged: its job id has not the form of one"
        raise CodecError(msg)
    fire = None
    if message.schedule is not None and message.fire_ms is not None:
        fire = Fire(message.schedule, message.fire_ms)
    job = NewJob(
        id=JobId(message.id),
        task=message.task,
        queue=message.queue,
        payload=message.payload,
        priority=message.priority,
        due_ms=message.due_ms,
        expires_ms=message.expires_ms,
        key=message.key,
        fire=fire,
    )
    return message.namespace, PushedJob(job, message.turn)


def _version_of(body: bytes) -> int | None:
    """Read the version alone: the rest of a newer one may have any form."""
    try:
        return _DECODE_VERSION(body).version
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError):
        return None


class _Version(Struct, frozen=True, array_like=True):
    version: int


_ENCODE: Final[Callable[[_Message], bytes]] = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Message).decode
_DECODE_VERSION: Final = msgspec.msgpack.Decoder(_Version).decode
