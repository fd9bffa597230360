"""A schedule as Cloud Scheduler writes it: five fields of Unix cron and a time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from headway.errors import DeclarationError
from headway.schedules.cron import parse
from headway.schedules.schedule import Cron, Every

if TYPE_CHECKING:
    from headway.schedules.cron import CronTimes
    from headway.schedules.schedule import Schedule

_PLAIN: Final = re.compile(r"[0-9*,/-]+")
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_FIELDS: Final = 5
_MINUTES_IN_HOUR: Final = 60
_HOURS_IN_DAY: Final = 24


class CronTab(NamedTuple):
    """The expression, and the name of the time zone."""

    cron: str
    timezone: str


def crontab(name: str, schedule: Schedule) -> CronTab:
    """Write a schedule for Cloud Scheduler; DeclarationError says why it cannot be."""
    try:
        match schedule:
            case Cron():
                return CronTab(_of_cron(schedule), schedule.timezone)
            case Every():
                return CronTab(_of_interval(schedule), "Etc/UTC")
            case _:
                assert_never(schedule)
    except _InexpressibleError as error:
        msg = (
            f"schedule {name!r} ({schedule}) cannot be given to Cloud Scheduler, which knows the five fields of cron: "
            f"{error}"
        )
        raise DeclarationError(msg) from error


class _InexpressibleError(Exception):
    """Why not."""


def _of_cron(schedule: Cron) -> str:
    times = parse(schedule.expression)
    if times.seconds != (0,):
        msg = "it has no seconds"
        raise _InexpressibleError(msg)
    if times.last_day or times.last_weekdays or times.nth_weekdays:
        msg = "it has neither L nor #"
        raise _InexpressibleError(msg)
    fields = schedule.expression.split()[-_FIELDS:]
    if len(fields) < _FIELDS or not all(map(_PLAIN.fullmatch, fields)):  # a macro, or names
        fields = _numbers(times)
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*" and (day.startswith("*") or weekday.startswith("*")):
        # Whether such days must both match or one of them is where crons differ.
        msg = "a step over all days beside another rule for days means different things to different crons"
        raise _InexpressibleError(msg)
    if "7" in weekday:
        weekday = ",".join(map(str, sorted(times.weekdays)))
    return f"{minute} {hour} {day} {month} {weekday}"


def _numbers(times: CronTimes) -> list[str]:
    every = (range(60), range(24), range(1, 32), range(1, 13), range(7))
    used = (times.minutes, times.hours, times.days, times.months, times.weekdays)
    return [
        "*" if len(numbers) == len(whole) else ",".join(map(str, sorted(numbers)))
        for numbers, whole in zip(used, every, strict=True)
    ]


def _of_interval(schedule: Every) -> str:
    """An interval is a cron expression when the clock shows the same minutes each hour, day or week."""
    interval = schedule.interval
    # The first fire time of 1970, in which weeks are counted from a Thursday.
    first = schedule.next_after(datetime(1970, 1, 1, tzinfo=UTC) - timedelta(seconds=1))
    offset = first - datetime(1970, 1, 1, tzinfo=UTC)
    if interval % _MINUTE or offset % _MINUTE:
        msg = "it has no seconds"
        raise _InexpressibleError(msg)
    minute, hour = offset // _MINUTE % _MINUTES_IN_HOUR, offset // _HOUR % _HOURS_IN_DAY
    if not _HOUR % interval:
        return f"{_steps(minute, interval // _MINUTE, _MINUTES_IN_HOUR)} * * * *"
    if not _DAY % interval and not interval % _HOUR:
        return f"{minute} {_steps(hour, interval // _HOUR, _HOURS_IN_DAY)} * * *"
    if interval == 7 * _DAY:
        return f"{minute} {hour} * * {(offset // _DAY + 4) % 7}"
    msg = f"the clock does not show the same times each hour, day or week every {interval}; write a cron expression"
    raise _InexpressibleError(msg)


def _steps(first: int, step: int, end: int) -> str:
    if step == end:
        return str(first)
    if step == 1:
        return "*"
    return f"*/{step}" if first == 0 else ",".join(map(str, range(first, end, step)))
