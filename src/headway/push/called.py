"""What a call of Cloud Scheduler says: that a fire time has come, or that somebody runs the schedule by hand. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from headway.clock import from_ms, to_ms
from headway.schedules.cron import parse
from headway.schedules.schedule import Cron, ScheduleError

if TYPE_CHECKING:
    from datetime import datetime

    from headway.schedules.schedule import Schedule

SKEW_MS: Final = 30_000
"""By which a scheduler's clock may be ahead of ours: as much as is granted to the times in its token."""

_SECOND_MS: Final = 1000
_AROUND: Final = timedelta(hours=3)  # a change of the clock, within which it may still be seen


def named_fire(schedule: Schedule, at_ms: int) -> int | None:
    """Return the fire time that the call's time names, in ms since 1970; None: none of the schedule's.

    Cloud Scheduler's times may have a fraction of a second. Around a change to or from daylight saving time it may also
    call where the schedule has left a time out or moved it: such a call is none by hand either.
    """
    instant = from_ms(at_ms // _SECOND_MS * _SECOND_MS)
    try:
        if schedule.matches(instant) or (isinstance(schedule, Cron) and _is_shifted(schedule, instant)):
            return to_ms(instant)
    except (ScheduleError, OverflowError):  # a time at the end of the calendar
        pass
    return None


def _is_shifted(cron: Cron, instant: datetime) -> bool:
    """Tell whether clocks show a time of the schedule, by the offset before or behind a change close by."""
    zone, times = ZoneInfo(cron.timezone), parse(cron.expression)
    offsets = {(instant + step).astimezone(zone).utcoffset() for step in (-_AROUND, timedelta(), _AROUND)}
    return len(offsets) > 1 and any(
        times.matches((instant + offset).replace(tzinfo=None)) for offset in offsets if offset is not None
    )
