"""Instants and the wall-clock times of a zone, where its clock jumps ahead or is set back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from headway.schedules.cron import ScheduleError

_SECOND: Final = timedelta(seconds=1)


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of that name; ScheduleError when there is none."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # OSError: a folder such as "Europe"
        message = (
            f"time zone {name!r} is not known; write a name of the IANA database, such as 'Europe/Zurich'"
        )
        raise ScheduleError(message) from None


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Give the instant at which a wall-clock time runs: its first occurrence, or the end of its gap."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    # PEP 495: in a fold `first` is the earlier of two; in a gap the order is reversed, around the jump.
    return first if first <= second else _transition(second, first, zone)


def wall_of(instant: datetime, zone: ZoneInfo) -> datetime:
    """Give the latest wall-clock second whose turn has come by `instant`, or would have if it matched.

    That is the local time, but while an hour repeats, it is the end of that hour: all of its times ran in the
    first pass, and none is left to run until the clock has passed them again.
    """
    local = instant.astimezone(zone)
    if local.fold:
        first_pass = local.replace(fold=0).astimezone(UTC)
        local = (_transition(first_pass, instant, zone) - _SECOND).astimezone(zone)
    return local.replace(tzinfo=None, fold=0, microsecond=0)


def _transition(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Find, by bisection, the first second of the zone's new offset, later than `before`, up to `after`."""
    before = before.replace(microsecond=0)
    offset = before.astimezone(zone).utcoffset()
    low, high = 0, (after - before) // _SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if (before + middle * _SECOND).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return before + high * _SECOND
