"""Jobs, queues and schedules as plain values for JSON, and as short texts for tables."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from headway.clock import from_ms
from headway.codec import decode_history, decode_result, describe, expanded_size, is_reference
from headway.errors import CodecError
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.app.parts import JobSource
    from headway.brokers.base import LogLine, QueueCounts
    from headway.events import Event
    from headway.job import AttemptError, JobRecord

_CALENDAR_CYCLE_MS: Final = 146_097 * 86_400_000  # 400 years: then the calendar repeats itself
_LAST_PLAIN_YEAR: Final = 9999
_MOST_SHOWN: Final = 8 * 1024 * 1024  # bytes of a call or a result, expanded
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))


def iso(instant_ms: int | None) -> str | None:
    """ISO 8601 in UTC, to the millisecond; a year of more than four digits has a sign, as the standard wants it.

    Any number has a text, however damaged the record that holds it: one job must not hide the others of its page.
    """
    if instant_ms is None:
        return None
    cycle, rest = divmod(instant_ms, _CALENDAR_CYCLE_MS)
    instant = from_ms(rest)
    year = instant.year + 400 * cycle
    shown = f"{year:04}" if 0 <= year <= _LAST_PLAIN_YEAR else f"{year:+07}"
    return f"{shown}{instant:-%m-%dT%H:%M:%S}.{rest % 1000:03}Z"


def span(milliseconds: float) -> str:
    """A duration in its largest fitting unit: `350 ms`, `12 s`, `5 m`, `3 h`, `2 d`."""
    for size, unit in _UNITS:
        if milliseconds >= size:
            return f"{milliseconds / size:.0f}{unit}"
    return f"{milliseconds:.0f}ms"


def relative(instant_ms: int | None, now_ms: int) -> str:
    """How long ago, or in how long."""
    if instant_ms is None:
        return "-"
    past = now_ms - instant_ms
    return f"{span(past)} ago" if past >= 0 else f"in {span(-past)}"


def tags_of(record: JobRecord, app: JobSource | None) -> list[str]:
    """Return the tags of a job: those of its task, where the app is known and has it."""
    task = None if app is None else app.known_tasks.get(record.task)
    return [] if task is None else list(task.tags)


def job_fields(record: JobRecord, app: JobSource | None = None) -> dict[str, Any]:
    """Return a job for JSON, without its contents. Its tags are those of its task: without the app there are none."""
    return {
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "state": record.state.value,
        "priority": record.priority,
        "attempt": record.attempt,
        "epoch": record.epoch,
        "crashes": record.crashes,
        "key": record.key,
        "tags": tags_of(record, app),
        "enqueued_at": iso(record.enqueued_ms),
        "due_at": iso(record.due_ms),
        "expires_at": iso(record.expires_ms),
        "started_at": iso(record.started_ms),
        "finished_at": iso(record.finished_ms),
        "worker": record.worker,
        "reason": record.reason,
        "cancel_requested": record.cancel_requested,
        "progress": record.progress,
        "progress_message": record.progress_message,
        "last_error": last_error(record),
    }


def last_error(record: JobRecord) -> dict[str, Any] | None:
    """Return how the latest attempt that failed ended, without its traceback; None when none did."""
    errors = decode_history(record.history)
    return _error_fields(errors[-1]) if errors else None


def _error_fields(error: AttemptError) -> dict[str, Any]:
    return {"attempt": error.attempt, "at": iso(error.at_ms), "type": error.type, "message": error.message}


def progress_text(record: JobRecord) -> str:
    """Return how far a job is, for a table: `40 %  fetching`; empty when it said nothing."""
    if record.progress is None:
        return ""
    share = f"{record.progress * 100:.0f} %" if isfinite(record.progress) else "?"
    return f"{share}  {' '.join(record.progress_message.split())}".rstrip()


def why_text(record: JobRecord) -> str:
    """Return why a job is as it is, for a table: the reason it was given, else its last error."""
    text = record.reason
    if not text and (error := last_error(record)) is not None:
        text = ": ".join(filter(None, (error["type"], error["message"])))
    return " ".join(text.split())


def job_contents(
    record: JobRecord, logs: Sequence[LogLine], unreadable: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what a job was called with, what came of it, its attempts' errors and its log, for JSON.

    What is offloaded was fetched before; `unreadable` says of which that failed. It also says what is damaged, so that
    such a job can still be looked at.
    """
    contents: dict[str, Any] = {"args": [], "kwargs": {}, "result": None}
    unreadable = list(unreadable)
    try:
        if not is_reference(record.payload):
            _bound(record.payload)
            contents |= plain(describe(record.payload))
    except (CodecError, RecursionError) as error:
        unreadable.append(f"arguments: {error}")
    try:
        if record.result and not is_reference(record.result):
            _bound(record.result)
            contents["result"] = plain(decode_result(record.result))
    except (CodecError, RecursionError) as error:
        unreadable.append(f"result: {error}")
    contents["errors"] = [
        {**_error_fields(error), "traceback": error.traceback} for error in decode_history(record.history)
    ]
    contents["logs"] = [
        {"at": iso(line.at_ms), "level": line.level, "message": line.message} for line in logs
    ]
    if unreadable:
        contents["unreadable"] = unreadable
    return contents


def _bound(payload: bytes) -> None:
    """Refuse what would be millions of values: some kilobytes can expand to that, and take gigabytes to show."""
    size = expanded_size(payload)
    if size > _MOST_SHOWN:
        msg = f"{size:,} bytes when expanded: too large to be shown"
        raise CodecError(msg)


def plain(value: Any) -> Any:  # noqa: ANN401 - any decoded value
    """Return a decoded value as JSON can hold it: keys as texts, bytes as base64, other things as their text."""
    import msgspec

    return msgspec.to_builtins(value, builtin_types=(), str_keys=True, enc_hook=str)


def queue_fields(counts: QueueCounts) -> dict[str, Any]:
    """Return a queue for JSON."""
    return {
        "queue": counts.queue,
        "paused": counts.paused,
        "counts": {state.value: counts.counts.get(state, 0) for state in JobState},
        "oldest_ready_at": iso(counts.oldest_ready_ms),
    }


def event_fields(event: Event) -> dict[str, Any]:
    """Return an event for JSON."""
    return {
        "cursor": event.cursor,
        "kind": event.kind.value,
        "job_id": event.job_id,
        "at": iso(event.at_ms),
        "queue": event.queue,
        "epoch": event.epoch,
        "worker": event.worker,
    }
