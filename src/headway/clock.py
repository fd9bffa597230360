"""Time as a dependency: instants are whole milliseconds since 1970 UTC, so that no driver converts twice."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


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
    """Aware UTC datetime of an instant in milliseconds."""
    return _EPOCH + timedelta(milliseconds=instant)


def duration_ms(duration: timedelta | float) -> int:
    """Milliseconds of a timedelta, or of a number of seconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return round(seconds * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
