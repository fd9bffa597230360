"""What arq keeps of a job, read into plain data; whatever is wrong with it becomes a refusal in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from headway.migrate.found import FoundJob, FoundState
from headway.migrate.sources.arq.objects import Opaque, PickleRefusedError
from headway.migrate.sources.arq.pickles import loads

Serializer = Literal["pickle", "json", "msgpack"]

MAX_BYTES: Final = 1024 * 1024
_TAIL: Final = 96  # bytes of the data in a token: its end holds the instant of the enqueue
_LATEST_MS: Final = 253_402_300_799_000  # the year 9999
_GIVEN: Final = re.compile(r"[0-9a-f]{32}")  # as arq makes ids itself
_SHOWN: Final = 200


class ReadAs(Struct, frozen=True):
    """How the jobs are written there, and what may be read of it."""

    serializer: Serializer = "pickle"
    allow_pickle: bool = False
    classes: Mapping[tuple[str, str], type] = {}
    max_bytes: int = MAX_BYTES


class Row(Struct, frozen=True):
    """What the page script answers of one job."""

    id: bytes
    score: bytes
    running: bool
    size: int
    data: bytes
    attempts: bytes
    kept_ms: int
    aborted: bool

    @property
    def token(self) -> bytes:
        """What must still be so when the job is taken; `take.lua` makes the same."""
        return b"%b|%d|%b|%b" % (self.score, self.size, self.attempts, self.data[-_TAIL:])


class Call(Struct, frozen=True):
    """A job's data: what is called, with what, since when."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    attempt: int  # that the next one is at least; 0: not said
    instant_ms: int


class UnreadableError(ValueError):
    """The data is no job that can be read; the message says why."""


def read_job(queue: str, row: Row, now_ms: int, how: ReadAs) -> FoundJob:
    """Return the job of one row."""
    source_id = row.id.decode(errors="replace")
    score = _whole(row.score)
    attempts = _whole(row.attempts) or 0
    call, refusal = None, _unfit(row, score, how)
    if not refusal:
        try:
            call = read_call(row.data, how)
        except UnreadableError as error:
            refusal = str(error)
    made = max(attempts, call.attempt - 1 if call else 0)
    due_ms = score if score is not None and score > now_ms else None
    return FoundJob(
        source_id=source_id,
        queue=queue,
        state=_state(row, made, due_ms),
        instant_ms=call.instant_ms if call else 0,
        name=call.name if call else "",
        args=call.args if call else (),
        kwargs=call.kwargs if call else {},
        size=max(row.size, 0),
        refusal=refusal,
        due_ms=due_ms,
        expires_ms=now_ms + row.kept_ms if row.kept_ms >= 0 else None,
        attempts_made=made,
        key=None if _GIVEN.fullmatch(source_id) else source_id,
        token=row.token,
    )


def _state(row: Row, made: int, due_ms: int | None) -> FoundState:
    if row.running:
        return FoundState.ACTIVE
    if made:
        return FoundState.RETRYING
    return FoundState.WAITING if due_ms is None else FoundState.DELAYED


def _unfit(row: Row, score: int | None, how: ReadAs) -> str:
    if b"\xef\xbf\xbd" not in row.id and "\ufffd" in row.id.decode(errors="replace"):
        return "its id is no text"
    if score is None:
        return f"its due time {row.score[:_SHOWN].decode(errors='replace')!r} is no instant"
    if row.aborted:
        return "it is to be aborted: arq does that"
    return _unfit_size(row.size, how)


def _unfit_size(size: int, how: ReadAs) -> str:
    match size:
        case -1:
            return "its data has expired there: arq ends it as expired"
        case -2:
            return "the key of its data holds something else"
        case _ if size > how.max_bytes:
            return f"its data has {size:,} bytes, at most {how.max_bytes:,} are read (--max-size)"
        case _:
            return ""


def read_call(data: bytes, how: ReadAs) -> Call:
    """Read a job's data; UnreadableError."""
    fields = _fields(data, how, opaque=False)
    if wrong := _wrong_with(fields):
        msg = f"its data is no job of arq: {wrong}"
        raise UnreadableError(msg)
    attempt = fields.get("t")
    return Call(
        name=fields["f"],
        args=tuple(fields["a"]),
        kwargs=fields["k"],
        attempt=attempt if type(attempt) is int and 0 <= attempt <= _LATEST_MS else 0,
        instant_ms=fields["et"],
    )


def _wrong_with(fields: dict[Any, Any]) -> str:
    name, args, kwargs, instant = (fields.get(one) for one in ("f", "a", "k", "et"))
    if not isinstance(name, str) or not name:
        return "f is no name of a function"
    if not isinstance(args, list | tuple):
        return "a is no list of arguments"
    if not isinstance(kwargs, dict) or not all(isinstance(one, str) for one in cast("Any", kwargs)):
        return "k is no dict of arguments by name"
    if type(instant) is not int or not 0 <= instant <= _LATEST_MS:
        return "et is no instant"
    return ""


def read_result(source_id: str, data: bytes, how: ReadAs) -> FoundJob | None:
    """Return the ended job that a result tells of; None: it cannot be read."""
    try:
        fields = _fields(data, how, opaque=True)
    except UnreadableError:
        return None
    queue, name, ended = fields.get("q"), fields.get("f"), fields.get("ft")
    succeeded, instant, result = fields.get("s"), fields.get("et"), fields.get("r")
    return FoundJob(
        source_id=source_id,
        queue=queue if isinstance(queue, str) else "",
        state=FoundState.COMPLETED if succeeded is True else FoundState.FAILED,
        instant_ms=instant if type(instant) is int and 0 <= instant <= _LATEST_MS else 0,
        name=name if isinstance(name, str) else "",
        size=len(data),
        refusal="it has ended there: arq keeps no more of it than its result",
        reasons=() if succeeded is True else (_said(result),),
        finished_ms=ended if type(ended) is int else None,
    )


def _said(result: object) -> str:
    if isinstance(result, Opaque):
        inner = ", ".join(repr(one) for one in result.args)
        return f"{result.name.removeprefix('builtins.')}({inner})"[:_SHOWN]
    return str(result)[:_SHOWN]


def _fields(data: bytes, how: ReadAs, *, opaque: bool) -> dict[Any, Any]:
    if how.serializer == "pickle" and not how.allow_pickle:
        msg = "its data is a pickle: read with --allow-pickle, as plain data, nothing in it is run"
        raise UnreadableError(msg)
    try:
        found = _decoded(data, how, opaque=opaque)
    except PickleRefusedError as error:
        msg = f"its pickle is not read: {error}"
        raise UnreadableError(msg) from error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        msg = f"its data is no {how.serializer}: {error}"
        raise UnreadableError(msg) from error
    if not isinstance(found, dict):
        msg = f"its data is no job of arq: it is a {type(found).__name__}"
        raise UnreadableError(msg)
    return found  # pyright: ignore[reportUnknownVariableType] - of any keys and values


def _decoded(data: bytes, how: ReadAs, *, opaque: bool) -> Any:  # noqa: ANN401 - any plain value
    match how.serializer:
        case "pickle":
            return loads(data, how.classes, opaque=opaque)
        case "json":
            return msgspec.json.decode(data)
        case "msgpack":
            return msgspec.msgpack.decode(data)


def _whole(text: bytes) -> int | None:
    """Return the number that a score or a counter is, in whole ms; None: it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if -_LATEST_MS <= number <= _LATEST_MS else None
