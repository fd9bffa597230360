"""What may be said of a task at its declaration and of one job at its enqueue; checked where it is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from msgspec import UNSET, Struct, UnsetType, structs

from headway.clock import duration_ms, to_ms
from headway.errors import ArgumentsError, DeclarationError
from headway.job import PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN
from headway.retry import Retry
from headway.unique import Unique

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta


RunIn = Literal["async", "thread", "process"]

MAX_NAME: Final = 200  # characters of a task's, queue's or schedule's name
MAX_KEY: Final = 500  # characters of an idempotency key
# Names travel through Redis keys, URLs, command lines and metric labels.
_NAME: Final = re.compile(r"[^\s,{}\x00-\x1f\x7f\ud800-\udfff][^,{}\x00-\x1f\x7f\ud800-\udfff]*")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")  # has no encoding
_LONGEST_MS: Final = 1000 * 365 * 24 * 3600 * 1000  # an instant behind it still fits into every carrier


class TaskOptions(Struct, frozen=True):
    """Of a task, as declared."""

    queue: str
    run_in: RunIn
    retry: Retry
    timeout_ms: int
    priority: int = PRIORITY_DEFAULT
    expires_ms: int | None = None
    unique: Unique | None = None


class JobOptions(Struct, frozen=True):
    """Of one job; what is None is taken from the task."""

    delay_ms: int = 0
    at_ms: int | None = None
    priority: int | None = None
    queue: str | None = None
    key: str | None = None
    headers: dict[str, str] | None = None
    timeout_ms: int = 0
    expires_ms: int | None = None
    unique: Unique | UnsetType | None = UNSET


PLAIN: Final = JobOptions()


def job_options(  # noqa: C901, PLR0913 - each is an option of its own
    base: JobOptions = PLAIN,
    *,
    delay: timedelta | float | None = None,
    at: datetime | None = None,
    priority: int | None = None,
    queue: str | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: timedelta | float | None = None,
    expires: timedelta | float | None = None,
    unique: Unique | UnsetType | None = UNSET,
) -> JobOptions:
    """Check the options of one job, over those of `base`; ArgumentsError names the one that is wrong."""
    if delay is not None and at is not None:
        msg = "options: give either delay or at, not both"
        raise ArgumentsError(msg)
    changes: dict[str, object] = {}
    if delay is not None:
        changes["delay_ms"] = _positive("delay", delay, zero=True)
        changes["at_ms"] = None
    if at is not None:
        try:
            changes["at_ms"] = to_ms(at)
        except (ValueError, AttributeError, TypeError) as error:
            msg = f"options: at: {error}"
            raise ArgumentsError(msg) from error
        changes["delay_ms"] = 0
    if priority is not None:
        changes["priority"] = checked_priority(priority)
    if queue is not None:
        changes["queue"] = _queue(queue)
    if key is not None:
        changes["key"] = _key(key)
    if headers is not None:
        changes["headers"] = _headers(headers)
    if timeout is not None:
        changes["timeout_ms"] = _positive("timeout", timeout)
    if expires is not None:
        changes["expires_ms"] = _positive("expires", expires)
    if unique is not UNSET:
        changes["unique"] = unique
    return structs.replace(base, **changes)


def checked_priority(priority: int) -> int:
    """Return the priority when it is a whole number from 0 to 9."""
    whole = type(priority) is int  # and no bool
    if not whole or not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        msg = f"priority must be a whole number from {PRIORITY_MIN} (last) to {PRIORITY_MAX} (first), got {priority!r}"
        raise ArgumentsError(msg)
    return priority


def checked_name(what: str, name: str) -> str:
    """Return the name of a task, queue, schedule or app when every carrier can hold it."""
    if not _is_text(name) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        rule = f"1 to {MAX_NAME} characters, no commas, braces or control characters, no space in front"
        msg = f"{what} name {name!r}: {rule}"
        raise DeclarationError(msg)
    return name


def declared_priority(task: str, priority: int) -> int:
    """Return the priority of a declaration; DeclarationError names the task."""
    try:
        return checked_priority(priority)
    except ArgumentsError as error:
        msg = f"task {task!r}: {error}"
        raise DeclarationError(msg) from error


def declared_ms(task: str, name: str, duration: timedelta | float) -> int:
    """Milliseconds of a positive duration in a declaration; DeclarationError names the task and the option."""
    try:
        return _positive(name, duration)
    except ArgumentsError as error:
        msg = f"task {task!r}: {error}"
        raise DeclarationError(msg) from error


def _positive(name: str, duration: timedelta | float, *, zero: bool = False) -> int:
    try:
        value = duration_ms(duration)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"options: {name} must be a timedelta or seconds, got {duration!r}"
        raise ArgumentsError(msg) from error
    if value > _LONGEST_MS:
        msg = f"options: {name} must be at most 1000 years, got {duration!r}"
        raise ArgumentsError(msg)
    if value < 0 or (value == 0 and not zero):
        msg = f"options: {name} must be positive, got {duration!r}"
        raise ArgumentsError(msg)
    return value


def _queue(name: str) -> str:
    try:
        return checked_name("queue", name)
    except DeclarationError as error:
        msg = f"options: {error}"
        raise ArgumentsError(msg) from error


def _key(key: str) -> str:
    if not _is_text(key) or not 0 < len(key) <= MAX_KEY or _SURROGATE.search(key):
        msg = f"options: key must be a text of 1 to {MAX_KEY} characters"
        raise ArgumentsError(msg)
    return key


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    checked = dict(headers)
    for name, value in checked.items():
        if not (_is_text(name) and _is_text(value)):
            msg = f"options: header {name!r} must be a text with a text as value"
            raise ArgumentsError(msg)
    return checked


def _is_text(value: object) -> bool:
    """Tell at run time what the annotation promises: callers are not all type-checked."""
    return isinstance(value, str)
