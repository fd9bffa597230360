"""Cron expressions as sets of local calendar times: the parser and the search.

Nothing here knows of time zones. An expression names *wall-clock* times, and `headway.schedules.schedule` turns those
into instants under a declared daylight-saving policy. Keeping the two apart keeps the search exact: in the
calendar every day has 24 hours.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, date, datetime, time
from typing import TYPE_CHECKING, Final

from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ScheduleError(HeadwayError, ValueError):
    """A schedule cannot be used as written; the message names the field and the text at fault."""


_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WEEKS_IN_MONTH: Final = 5
_LONGEST_NUMBER: Final = 3

# 28 years in a row without a skipped leap year hold every pairing of first weekday and length that a year can
# have, so a date that none of them has never comes.
_EVERY_KIND_OF_YEAR: Final = range(2001, 2029)


@dataclass(frozen=True, slots=True)
class _Field:
    """One position of an expression: its name in error messages and the numbers and names it takes."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict[str, int])


_SECOND: Final = _Field("second", 0, 59)
_MINUTE: Final = _Field("minute", 0, 59)
_HOUR: Final = _Field("hour", 0, 23)
_DAY: Final = _Field("day of month", 1, 31)
_MONTH: Final = _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)})
# 0 and 7 are both Sunday. Seven belongs to the range, as in Vixie cron, so `*/7` means Sundays.
_WEEKDAY: Final = _Field("day of week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)})


@dataclass(frozen=True, slots=True)
class CronTimes:
    """The wall-clock times an expression names. Weekdays count from 0, Sunday."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    last_day: bool
    months: tuple[int, ...]
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]
    last_weekdays: frozenset[int]
    either_day: bool
    """True: the day of month *or* the day of week must match; false: both must."""

    def matches(self, wall: datetime) -> bool:
        """Say whether the naive local time `wall`, to the second, is one of these times."""
        return (
            wall.second in self.seconds
            and wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.month in self.months
            and self._has_day(wall.date())
        )

    def next_match(self, after: datetime) -> datetime | None:
        """Return the first match later than the naive local time `after`; None when year 9999 has no more.

        The work is bounded: a date that exists comes back within 40 years (29 February on a given weekday,
        over a year like 2100 that is no leap year), and only the months named are looked at.
        """
        start = after.replace(microsecond=0)
        for day in self._days_from(start.date()):
            found = self._first_time(start.time()) if day == start.date() else self._earliest
            if found is not None:
                return datetime.combine(day, found)
        return None

    def previous_match(self, at: datetime) -> datetime | None:
        """Return the last match no later than the naive local time `at`; None when there is none."""
        for day in self._days_back_from(at.date()):
            found = self._last_time(at.time()) if day == at.date() else self._latest
            if found is not None:
                return datetime.combine(day, found)
        return None

    def is_possible(self) -> bool:
        """Say whether any date matches at all."""
        return any(
            self._has_day(date(year, month, day))
            for year in _EVERY_KIND_OF_YEAR
            for month in self.months
            for day in range(1, monthrange(year, month)[1] + 1)
        )

    @property
    def _earliest(self) -> time:
        return time(self.hours[0], self.minutes[0], self.seconds[0])

    @property
    def _latest(self) -> time:
        return time(self.hours[-1], self.minutes[-1], self.seconds[-1])

    def _has_day(self, day: date) -> bool:
        length = monthrange(day.year, day.month)[1]
        weekday = day.isoweekday() % 7
        by_date = day.day in self.days or (self.last_day and day.day == length)
        by_weekday = (
            weekday in self.weekdays
            or (weekday, (day.day + 6) // 7) in self.nth_weekdays
            or (weekday in self.last_weekdays and day.day + 7 > length)
        )
        return by_date or by_weekday if self.either_day else by_date and by_weekday

    def _days_from(self, start: date) -> Iterator[date]:
        for year in range(start.year, MAXYEAR + 1):
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                first = start.day if (year, month) == (start.year, start.month) else 1
                for number in range(first, monthrange(year, month)[1] + 1):
                    if self._has_day(day := date(year, month, number)):
                        yield day

    def _days_back_from(self, end: date) -> Iterator[date]:
        for year in range(end.year, MINYEAR - 1, -1):
            for month in reversed(self.months):
                if (year, month) > (end.year, end.month):
                    continue
                last = end.day if (year, month) == (end.year, end.month) else monthrange(year, month)[1]
                for number in range(last, 0, -1):
                    if self._has_day(day := date(year, month, number)):
                        yield day

    def _first_time(self, after: time) -> time | None:
        for hour in self.hours[bisect_left(self.hours, after.hour) :]:
            if hour > after.hour:
                return time(hour, self.minutes[0], self.seconds[0])
            for minute in self.minutes[bisect_left(self.minutes, after.minute) :]:
                if minute > after.minute:
                    return time(hour, minute, self.seconds[0])
                position = bisect_right(self.seconds, after.second)
                if position < len(self.seconds):
                    return time(hour, minute, self.seconds[position])
        return None

    def _last_time(self, at: time) -> time | None:
        for hour in reversed(self.hours[: bisect_right(self.hours, at.hour)]):
            if hour < at.hour:
                return time(hour, self.minutes[-1], self.seconds[-1])
            for minute in reversed(self.minutes[: bisect_right(self.minutes, at.minute)]):
                if minute < at.minute:
                    return time(hour, minute, self.seconds[-1])
                position = bisect_right(self.seconds, at.second)
                if position > 0:
                    return time(hour, minute, self.seconds[position - 1])
        return None


def parse(expression: str) -> CronTimes:
    """Parse five fields (minute, hour, day of month, month, day of week), six (second first) or a macro.

    Raises `ScheduleError` naming the field and the text at fault, also for dates that never come.
    """
    second, minute, hour, day, month, weekday = _fields(expression)
    days, last_day = _days(day)
    weekdays, nth_weekdays, last_weekdays = _weekdays(weekday)
    times = CronTimes(
        seconds=_numbers(_SECOND, second),
        minutes=_numbers(_MINUTE, minute),
        hours=_numbers(_HOUR, hour),
        days=days,
        last_day=last_day,
        months=_numbers(_MONTH, month),
        weekdays=weekdays,
        nth_weekdays=nth_weekdays,
        last_weekdays=last_weekdays,
        either_day=not (day.startswith("*") or weekday.startswith("*")),
    )
    if not times.is_possible():
        raise _refusal(_DAY, day, f"no year has such a date with month {month!r} and day of week {weekday!r}")
    return times


def _fields(expression: str) -> list[str]:
    text = expression.strip()
    if text.startswith("@"):
        if (macro := _MACROS.get(text.lower())) is None:
            message = f"cron macro {text!r} is not known; there are {', '.join(sorted(_MACROS))}"
            raise ScheduleError(message)
        text = macro
    match text.upper().split():
        case [_, _, _, _, _] as five:
            return ["0", *five]
        case [_, _, _, _, _, _] as six:
            return six
        case other:
            message = (
                f"cron expression {expression!r} has {len(other)} fields; write 5 (minute, hour, day of"
                f" month, month, day of week) or 6 (a second first)"
            )
            raise ScheduleError(message)


def _numbers(kind: _Field, text: str) -> tuple[int, ...]:
    return tuple(sorted({number for item in text.split(",") for number in _item(kind, item)}))


def _days(text: str) -> tuple[frozenset[int], bool]:
    items = text.split(",")
    return frozenset(n for item in items if item != "L" for n in _item(_DAY, item)), "L" in items


def _weekdays(text: str) -> tuple[frozenset[int], frozenset[tuple[int, int]], frozenset[int]]:
    every: set[int] = set()
    nth: set[tuple[int, int]] = set()
    last: set[int] = set()
    for item in text.split(","):
        if "#" in item:
            name, _, order = item.partition("#")
            week = _digits(order)
            if week is None or not 1 <= week <= _WEEKS_IN_MONTH:
                raise _refusal(_WEEKDAY, item, "the week after '#' is a number from 1 to 5")
            nth.add((_number(_WEEKDAY, name, item) % 7, week))
        elif item == "L":
            raise _refusal(_WEEKDAY, item, "'L' needs a weekday before it: '5L' is the last Friday")
        elif item.endswith("L"):
            last.add(_number(_WEEKDAY, item[:-1], item) % 7)
        else:
            every.update(number % 7 for number in _item(_WEEKDAY, item))
    return frozenset(every), frozenset(nth), frozenset(last)


def _item(kind: _Field, item: str) -> range:
    """Read one element of a list: `*`, `5` or `1-5`, with a step or not; `5/10` runs to the field's end."""
    body, slash, step_text = item.partition("/")
    if body == "*":
        first, last = kind.low, kind.high
    elif "-" in body:
        low, _, high = body.partition("-")
        first = _number(kind, low, item)
        # MON-SUN is what people write, though Sunday is number 0.
        ends_on_sunday = kind is _WEEKDAY and high == "SUN" and first > 0
        last = kind.high if ends_on_sunday else _number(kind, high, item)
        if first > last:
            raise _refusal(kind, item, "the range runs backwards; write two, as 22-23,0-2")
    else:
        first = _number(kind, body, item)
        last = kind.high if slash else first
    if not slash:
        return range(first, last + 1)
    step = _digits(step_text)
    if not step:
        raise _refusal(kind, item, "the step after '/' is a whole number of 1 or more")
    # Cron takes `*/90` in silence and runs it every hour: an interval that a field cannot hold needs Every.
    if step > last - first:
        raise _refusal(kind, item, f"a step of {step} never fits into {first}-{last}; use Every instead")
    return range(first, last + 1, step)


def _number(kind: _Field, text: str, item: str) -> int:
    number = kind.names[text] if text in kind.names else _digits(text)
    if number is None or not kind.low <= number <= kind.high:
        names = f" or {'|'.join(kind.names)}" if kind.names else ""
        raise _refusal(kind, item, f"{text!r} is not a number from {kind.low} to {kind.high}{names}")
    return number


def _digits(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER else None


def _refusal(kind: _Field, item: str, why: str) -> ScheduleError:
    return ScheduleError(f"cron field {kind.name!r}, at {item!r}: {why}")
