"""Time as a dependency: instants are whole milliseconds since 1970 UTC, so that no driver converts twice.

Every instant and duration that somebody gives comes in through `instant_ms` or `duration_ms`, which bound it: what is
inside can be added, stored and shown without a second look.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias

LAST_MS: Final = 253_402_300_799_999
"""The last instant that a date can hold: the end of the year 9999."""
LONGEST_MS: Final = 1000 * 365 * 24 * 3600 * 1000
"""The longest duration, 1000 years: added to any present instant it gives one that a date can hold."""


Duration: TypeAlias = "timedelta | float | str"
"""A timedelta, a number of seconds, or a text such as `500ms`, `15s`, `2m`, `24h`, `7d`."""


class Clock(Protocol):
    """Tells the present instant."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970 UTC of an aware datetime; ValueError when it has no time zone."""
    if instant.tzinfo is None:
        msg = f"{instant!r} has no time zone: give an aware datetime, such as datetime.now(UTC)"
        raise ValueError(msg)
    return round((instant - _EPOCH) / _MILLISECOND)


def from_ms(instant: int) -> datetime:
    """Aware UTC datetime of an instant in milliseconds, or the nearest that a datetime can hold."""
    return _EPOCH + timedelta(milliseconds=min(LAST_MS, max(_FIRST_MS, instant)))


def instant_ms(instant: datetime, what: str) -> int:
    """Milliseconds since 1970 UTC of an instant that somebody gave; what lies before 1970 counts as 1970.

    TypeError or ValueError begins with `what`: the name of the option.
    """
    if not _is_datetime(instant):
        msg = f"{what} must be an aware datetime, such as datetime.now(UTC); got {instant!r}"
        raise TypeError(msg)
    try:
        ms = to_ms(instant)
    except ValueError as error:
        msg = f"{what}: {error}"
        raise ValueError(msg) from None
    if ms > LAST_MS:
        msg = f"{what} must be before the end of the year 9999 UTC, got {instant!r}"
        raise ValueError(msg)
    return max(0, ms)


def duration_ms(duration: Duration, what: str = "a duration") -> int:
    """Milliseconds of a timedelta, of a number of seconds or of a text, that somebody gave.

    Its sign is the caller's to judge. TypeError or ValueError begins with `what`: the name of the option.
    """
    if isinstance(duration, str):
        duration = text_seconds(duration, what)
    elif not _is_duration(duration):
        msg = f"{what} must be {DURATIONS}; got {duration!r}"
        raise TypeError(msg)
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds != seconds:  # noqa: PLR0124 - not a number; math.isnan cannot take every int
        msg = f"{what} must be a number of seconds, got {duration!r}"
        raise ValueError(msg)
    if abs(seconds) > LONGEST_MS // 1000:
        msg = f"{what} must be at most 1000 years"
        raise ValueError(msg)
    return round(seconds * 1000)


def text_seconds(text: str, what: str) -> float:
    """Seconds of `15`, `1.5`, `500ms`, `15s`, `2m`, `24h` or `7d`; ValueError begins with `what`."""
    match = _TEXT.fullmatch(text)
    if match is None:
        msg = f"{what} must be {DURATIONS}; got {text!r}"
        raise ValueError(msg)
    return float(match[1]) * _UNITS[match[2]]


def _is_datetime(value: object) -> bool:
    """Tell at run time what the annotation promises: callers are not all type-checked."""
    return isinstance(value, datetime)


def _is_duration(value: object) -> bool:
    return isinstance(value, timedelta | int | float) and not isinstance(value, bool)


DURATIONS: Final = "a timedelta, a number of seconds, or a text such as 500ms, 15s, 2m, 24h, 7d"
_TEXT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|)\s*", re.ASCII)
_UNITS: Final = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MS = -62_135_596_800_000  # of the year 1
