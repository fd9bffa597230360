"""Records as the server keeps them, and back; the forms are described in `lua/include/header.lua`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.base import LogLine, Progress
from headway.job import JobId, JobRecord, JobState, WorkerId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.redis.session import Kind

log = logging.getLogger(__name__)

STATES: Final[dict[bytes, JobState]] = {
    b"D": JobState.SCHEDULED,
    b"Q": JobState.READY,
    b"R": JobState.RUNNING,
    b"S": JobState.SUCCEEDED,
    b"F": JobState.FAILED,
    b"C": JobState.CANCELLED,
    b"X": JobState.EXPIRED,
}
LETTERS: Final = {state: letter.decode() for letter, state in STATES.items()}
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


def optional(text: bytes) -> int | None:
    """Read a number that may be absent."""
    return int(text) if text else None


def parse_header(text: bytes) -> Header:
    """Read a header of hash m; ValueError when it is damaged."""
    parts = text.split(b"|", _HEADER_FIELDS)
    if len(parts) <= _HEADER_FIELDS:
        msg = "a header is damaged"
        raise ValueError(msg)
    _, epoch, attempt, crashes, due, expires, started, history = parts
    return Header(
        int(epoch), int(attempt), int(crashes), optional(due), optional(expires), optional(started), history
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """The raw answer of `get.lua` for one job."""

    blob: bytes | None
    header: bytes | None
    run: bytes | None
    done: bytes | None
    score: bytes | None
    key: bytes | None
    progress: bytes | None
    cancel: bytes | None

    def kind(self) -> bytes:
        """Return the number of the job's kind; empty when the record is damaged."""
        number, colon, _ = (self.blob or b"").partition(b":")
        return number if colon else b""


def record(job_id: JobId, columns: Columns, kinds: Mapping[bytes, Kind]) -> JobRecord | None:
    """Put a record together; None when there is no such job, or when its bytes cannot be read (logged)."""
    if columns.blob is None:
        return None
    try:
        return _record(job_id, columns, columns.blob, kinds)
    except (ValueError, KeyError, IndexError) as error:
        log.warning("job %s: its record on the server is damaged (%s)", job_id, type(error).__name__)
        return None


def _record(job_id: JobId, columns: Columns, blob: bytes, kinds: Mapping[bytes, Kind]) -> JobRecord:
    number, _, payload = blob.partition(b":")
    kind = kinds[number]
    fraction, message = _progress(columns.progress)
    fields: dict[str, Any] = {
        "id": job_id,
        "task": kind.task,
        "queue": kind.queue,
        "priority": kind.priority,
        "payload": payload,
        "key": None if columns.key is None else columns.key.decode(),
        "progress": fraction,
        "progress_message": message,
    }
    if columns.done is not None:
        return JobRecord(**fields, **_done(columns.done))
    header = FRESH if columns.header is None else parse_header(columns.header)
    fields.update(
        attempt=header.attempt,
        epoch=header.epoch,
        crashes=header.crashes,
        due_ms=header.due_ms,
        expires_ms=header.expires_ms,
        started_ms=header.started_ms,
        history=header.history,
    )
    if columns.run is not None:
        _, epoch, attempt, crashes, started, _, _, worker = columns.run.split(b"|", 7)
        fields.update(
            state=JobState.RUNNING,
            epoch=int(epoch),
            attempt=int(attempt),
            crashes=int(crashes),
            started_ms=int(started),
            worker=WorkerId(worker.decode()),
            cancel_requested=columns.cancel is not None,
        )
    elif columns.score is not None:
        held = columns.score == b"inf"
        fields.update(state=JobState.SCHEDULED, due_ms=None if held else int(float(columns.score)))
    else:
        fields.update(state=JobState.READY)
    return JobRecord(**fields)


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
        "epoch": int(epoch),
        "attempt": int(attempt),
        "crashes": int(crashes),
        "due_ms": optional(due),
        "expires_ms": optional(expires),
        "started_ms": optional(started),
        "finished_ms": int(finished),
        "worker": WorkerId(worker.decode()) if worker else None,
        "reason": reason.decode(errors="replace"),
        "result": result,
        "history": body,
    }


def write_progress(progress: Progress) -> bytes:
    """Write progress."""
    return f"{progress.fraction!r}|{progress.message}".encode()


def _progress(text: bytes | None) -> tuple[float | None, str]:
    if text is None:
        return None, ""
    fraction, _, message = text.partition(b"|")
    return float(fraction), message.decode()


def write_log_line(line: LogLine) -> bytes:
    """Write a log line."""
    return f"{line.at_ms}|{line.level}|{line.message}".encode()


def log_lines(texts: Sequence[bytes]) -> list[LogLine]:
    """Read log lines; damaged ones are left out."""
    lines: list[LogLine] = []
    for text in texts:
        at, _, rest = text.partition(b"|")
        level, bar, message = rest.partition(b"|")
        if bar and at.lstrip(b"-").isdigit():
            lines.append(LogLine(int(at), level.decode(errors="replace"), message.decode(errors="replace")))
    return lines
