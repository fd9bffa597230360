"""Records as the server keeps them, and back; the forms are described in `lua/include/header.lua`."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec.structs import replace

from headway.brokers.base import LogLine, Progress
from headway.brokers.redis.session import Kind
from headway.job import JobId, JobRecord, JobState, UniqueLock, UniqueMode, WorkerId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

log = logging.getLogger("headway.redis")

STATES: Final[dict[bytes, JobState]] = {
    b"D": JobState.SCHEDULED,
    b"Q": JobState.READY,
    b"R": JobState.RUNNING,
    b"S": JobState.SUCCEEDED,
    b"F": JobState.FAILED,
    b"C": JobState.CANCELLED,
    b"X": JobState.EXPIRED,
}
UNIQUE_MODES: Final = {
    "r": UniqueMode.REJECT,
    "t": UniqueMode.THROTTLE,
    "d": UniqueMode.DEBOUNCE,
    "k": UniqueMode.KEEP_LAST,
}
LETTERS: Final = {state: letter.decode() for letter, state in STATES.items()}
_INSTANT: Final = re.compile(rb"-?\d{1,18}")
_DIGITS: Final = 19
_DONE_FIELDS: Final = 12
_HEADER_FIELDS: Final = 7


@dataclass(frozen=True, slots=True)
class Header:
    """What deviates from a fresh ready job."""

    epoch: int = 0
    attempt: int = 0
    crashes: int = 0
    due_ms: int | None = None
    expires_ms: int | None = None
    started_ms: int | None = None
    history: bytes = b""


FRESH: Final = Header()


def number(text: bytes) -> int:
    """Read a number; ValueError when it is none, or of more digits than anything here counts to."""
    if len(text) > _DIGITS:
        msg = "a number is damaged"
        raise ValueError(msg)
    return int(text)


def optional(text: bytes) -> int | None:
    """Read a number that may be absent."""
    return number(text) if text else None


def parse_header(text: bytes) -> Header:
    """Read a header of hash m; ValueError when it is damaged."""
    parts = text.split(b"|", _HEADER_FIELDS)
    if len(parts) <= _HEADER_FIELDS:
        msg = "a header is damaged"
        raise ValueError(msg)
    _, epoch, attempt, crashes, due, expires, started, history = parts
    return Header(
        number(epoch),
        number(attempt),
        number(crashes),
        optional(due),
        optional(expires),
        optional(started),
        history,
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """The raw answer of `get.lua` for one job."""

    blob: bytes | None
    header: bytes | None = None
    run: bytes | None = None
    done: bytes | None = None
    score: bytes | None = None
    key: bytes | None = None
    progress: bytes | None = None
    cancel: bytes | None = None
    withdrawn: bytes | None = None
    unique: bytes | None = None
    logged: int = 1

    def kind(self) -> bytes:
        """Return the number of the job's kind; empty when the record is damaged."""
        number, colon, _ = (self.blob or b"").partition(b":")
        return number if colon else b""


UNREADABLE: Final = "its record cannot be read: the stored bytes are damaged"


def record(job_id: JobId, columns: Columns, kinds: Mapping[bytes, Kind]) -> JobRecord | None:
    """Put a record together; None when there is no such job. Of a damaged one whatever can be read (logged)."""
    if columns.blob is None:
        return None
    damaged: list[str] = []

    def read(part: str, parse: Callable[[bytes], T], text: bytes | None, otherwise: T) -> T:
        if text is None:
            return otherwise
        try:
            return parse(text)
        except (ValueError, KeyError, IndexError, OverflowError):
            damaged.append(part)
            return otherwise

    kind = kinds.get(columns.kind())
    if kind is None:
        damaged.append("kind")
        kind = Kind(0, "", "")
    unknown: tuple[float | None, str] = (None, "")
    fraction, message = read("progress", _progress, columns.progress, unknown)
    fields: dict[str, Any] = {
        "id": job_id,
        "task": kind.task,
        "queue": kind.queue,
        "priority": kind.priority,
        "payload": columns.blob.partition(b":")[2],
        "key": None if columns.key is None else columns.key.decode(errors="replace"),
        "progress": fraction,
        "progress_message": message,
        "logged": columns.logged == 1,
    }
    if columns.done is not None:
        lost = {"state": JobState.FAILED, "reason": UNREADABLE}  # as the scripts take it
        fields.update(read("outcome", _done, columns.done, lost))
        still: dict[str, Any] = {}
        fields.update(read("withdrawal", _withdrawn, columns.withdrawn, still))
    else:
        header = read("header", parse_header, columns.header, FRESH)
        ready: tuple[int | None, JobState] = (None, JobState.READY)
        waits: dict[str, Any] = {}
        fields.update(_waiting(header, read("due time", _due, columns.score, ready)))
        fields.update(read("run", _run, columns.run, waits))
        if fields["state"] is JobState.RUNNING:
            fields["cancel_requested"] = columns.cancel is not None
        fields["unique"] = read("unique key", _unique, columns.unique, None)
    if damaged:
        log.warning("job %s: its record on the server is damaged: %s", job_id, ", ".join(damaged))
    return JobRecord(**fields)


def _unique(text: bytes) -> UniqueLock | None:
    mode, window, key = text.decode().split("|", 2)
    return UniqueLock(key, UNIQUE_MODES[mode], int(window))


def _withdrawn(text: bytes) -> dict[str, Any]:
    _, mode, window, size, rest = text.split(b"|", 4)
    end = 0 if size == b"-" else int(size)
    return {
        "withdrawn": True,
        "key": None if size == b"-" else rest[:end].decode(errors="replace"),
        "unique": _unique(b"|".join((mode, window, rest[end:]))) if mode else None,
    }


def before_withdrawal(record: JobRecord, text: bytes) -> JobRecord:
    """Return the record of a withdrawn job as it was before; `text` says of the job what the server keeps of that."""
    return replace(record, state=STATES[text[:1]], finished_ms=None, reason="", withdrawn=False)


def _waiting(header: Header, due: tuple[int | None, JobState]) -> dict[str, Any]:
    scheduled = due[1] is JobState.SCHEDULED
    return {
        "state": due[1],
        "attempt": header.attempt,
        "epoch": header.epoch,
        "crashes": header.crashes,
        "due_ms": due[0] if scheduled else header.due_ms,
        "expires_ms": header.expires_ms,
        "started_ms": header.started_ms,
        "history": header.history,
    }


def _due(score: bytes) -> tuple[int | None, JobState]:
    return None if score == b"inf" else int(float(score)), JobState.SCHEDULED


def _run(text: bytes) -> dict[str, Any]:
    _, epoch, attempt, crashes, started, _, _, worker = text.split(b"|", 7)
    return {
        "state": JobState.RUNNING,
        "epoch": number(epoch),
        "attempt": number(attempt),
        "crashes": number(crashes),
        "started_ms": number(started),
        "worker": WorkerId(worker.decode()),
    }


def _done(text: bytes) -> dict[str, Any]:
    parts = text.split(b"|", _DONE_FIELDS)
    state, _, epoch, attempt, crashes, due, expires, started, finished = parts[:9]
    sizes = [int(size) for size in parts[9:_DONE_FIELDS]]
    body = parts[_DONE_FIELDS]
    pieces: list[bytes] = []
    for size in sizes:
        pieces.append(body[:size])
        body = body[size:]
    worker, reason, result = pieces
    return {
        "state": STATES[state],
        "epoch": number(epoch),
        "attempt": number(attempt),
        "crashes": number(crashes),
        "due_ms": optional(due),
        "expires_ms": optional(expires),
        "started_ms": optional(started),
        "finished_ms": number(finished),
        "worker": WorkerId(worker.decode()) if worker else None,
        "reason": reason.decode(errors="replace"),
        "result": result,
        "history": body,
    }


def write_progress(progress: Progress) -> bytes:
    """Write progress; a number of another type than float as the float that it is worth."""
    return f"{float(progress.fraction)!r}|{progress.message}".encode(errors="backslashreplace")


def _progress(text: bytes) -> tuple[float | None, str]:
    fraction, _, message = text.partition(b"|")
    return float(fraction), message.decode()


def write_log_line(line: LogLine) -> bytes:
    """Write a log line."""
    return f"{line.at_ms}|{line.level}|{line.message}".encode(errors="backslashreplace")


def log_lines(texts: Sequence[bytes]) -> list[LogLine]:
    """Read log lines; damaged ones are left out."""
    lines: list[LogLine] = []
    for text in texts:
        at, _, rest = text.partition(b"|")
        level, bar, message = rest.partition(b"|")
        if bar and _INSTANT.fullmatch(at):
            lines.append(LogLine(int(at), level.decode(errors="replace"), message.decode(errors="replace")))
    return lines
