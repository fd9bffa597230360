"""When a scheduled task runs: cron expressions, intervals, and what happens to fire times that were missed.

Everything is pure: the same schedule and the same instant give the same answer in every process on every
host. That is what lets any number of schedulers run without a leader: each computes the same fire times, and
the carrier accepts one job per schedule and fire time.

`Schedule` is a closed union, not an interface: schedules are stored, shown and copied to Cloud Scheduler,
which a class from outside could not be.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

from headway.clock import LONGEST_MS
from headway.schedules.cron import CronTimes, ScheduleError, parse
from headway.schedules.walltime import instant_of, wall_of, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

__all__ = ["CatchUp", "Cron", "Every", "Schedule", "ScheduleError", "due_fires", "fires_between", "next_wake"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ON_TIME: Final = timedelta(seconds=60)
"""A fire this late is not missed yet: schedulers always see a fire time a moment after it has come."""

_SECOND: Final = timedelta(seconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """Fire at the wall-clock times that a cron expression names, in a time zone (UTC unless named).

    Daylight saving: each wall-clock time that matches runs once.

    - A time that does not exist because the clock jumps over it runs at the first instant after the jump.
      Several such times, and a time that matches at that instant anyway, are one run.
    - A time that comes twice because the clock is set back runs the first time only. This holds for `*/5 * *
      * *` too: it rests while the hour repeats. Work that must go on in elapsed time wants `Every`, or
      `timezone="UTC"`.

    Raises `ScheduleError` naming the field, macro or zone at fault, also for dates that never come (31
    February).
    """

    expression: str
    timezone: str = "UTC"
    _times: CronTimes = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parse now, so that a mistake shows at import and not at the first fire time."""
        for name in ("expression", "timezone"):
            if not _is_a(getattr(self, name), str):
                message = f"Cron: {name} must be a text; got {getattr(self, name)!r}"
                raise ScheduleError(message)
        object.__setattr__(self, "expression", " ".join(self.expression.split()))
        object.__setattr__(self, "_times", parse(self.expression))
        object.__setattr__(self, "_zone", zone_of(self.timezone))

    def __str__(self) -> str:
        """Describe the schedule for logs and lists."""
        return f"{self.expression} ({self.timezone})"

    def next_after(self, instant: datetime) -> datetime:
        """Return the first fire time later than `instant`, in UTC; `ScheduleError` past year 9999."""
        instant = _utc(instant)
        try:
            wall = self._times.next_match(wall_of(instant, self._zone))
            while wall is not None:
                fire = instant_of(wall, self._zone)
                if fire > instant:
                    return fire
                wall = self._times.next_match(wall)
        except OverflowError:
            pass
        raise _out_of_calendar(self, "after", instant)

    def previous_or_at(self, instant: datetime) -> datetime:
        """Return the last fire time no later than `instant`, in UTC; `ScheduleError` before year 1."""
        instant = _utc(instant)
        try:
            wall = self._times.previous_match(wall_of(instant, self._zone))
            if wall is not None:
                return instant_of(wall, self._zone)
        except OverflowError:
            pass
        raise _out_of_calendar(self, "up to", instant)

    def matches(self, instant: datetime) -> bool:
        """Say whether `instant` is a fire time."""
        return self.previous_or_at(instant) == instant


@dataclass(frozen=True, slots=True)
class Every:
    """Fire at `anchor` and at every whole `interval` from it, in elapsed time, blind to daylight saving.

    The anchor, 1970-01-01 UTC unless given, and not the start of a process, fixes the fire times: so all
    workers of all hosts agree on them, and a restart moves none.

    The interval is a whole number of seconds, 1 or more: every fire is a job of its own that a carrier must
    hold durably, and a key `schedule:fire_time` that all carriers and Cloud Scheduler must write alike. What
    has to run more often is a loop inside one job. Raises `ScheduleError` naming the field.
    """

    interval: timedelta
    anchor: datetime = EPOCH

    def __post_init__(self) -> None:
        """Check both fields; keep the anchor in UTC so that equal schedules compare equal."""
        if not _is_a(self.interval, timedelta):
            message = (
                f"Every: interval must be a timedelta, such as timedelta(minutes=5); got {self.interval!r}"
            )
            raise ScheduleError(message)
        if not _is_a(self.anchor, datetime):
            message = f"Every: anchor must be an aware datetime; got {self.anchor!r}"
            raise ScheduleError(message)
        if self.interval < _SECOND or self.interval % _SECOND:
            message = f"Every: interval must be a whole number of seconds, 1 or more; got {self.interval!r}"
            raise ScheduleError(message)
        if self.interval > timedelta(milliseconds=LONGEST_MS):
            message = f"Every: interval must be at most 1000 years; got {self.interval!r}"
            raise ScheduleError(message)
        anchor = _utc(self.anchor, "Every: anchor")
        if anchor.microsecond % 1000:
            message = f"Every: anchor must be on a whole millisecond; got {self.anchor!r}"
            raise ScheduleError(message)
        object.__setattr__(self, "anchor", anchor)

    def __str__(self) -> str:
        """Describe the schedule for logs and lists."""
        return f"every {self.interval}"

    def next_after(self, instant: datetime) -> datetime:
        """Return the first fire time later than `instant`, in UTC; `ScheduleError` past year 9999."""
        instant = _utc(instant)
        try:
            return self.anchor + ((instant - self.anchor) // self.interval + 1) * self.interval
        except OverflowError:
            raise _out_of_calendar(self, "after", instant) from None

    def previous_or_at(self, instant: datetime) -> datetime:
        """Return the last fire time no later than `instant`, in UTC; `ScheduleError` before year 1."""
        instant = _utc(instant)
        try:
            return self.anchor + (instant - self.anchor) // self.interval * self.interval
        except OverflowError:
            raise _out_of_calendar(self, "up to", instant) from None

    def matches(self, instant: datetime) -> bool:
        """Say whether `instant` is a fire time."""
        return not (_utc(instant) - self.anchor) % self.interval


Schedule = Cron | Every


class CatchUp(StrEnum):
    """What becomes of the fire times that passed while no scheduler ran.

    `LAST` is the default: a nightly report missed at a deployment is still made, and an hour of missed
    five-minute syncs costs one job rather than twelve that do the same work.
    """

    SKIP = "skip"
    """They are dropped. A fire time seen within a minute of its coming is not missed, and runs."""

    LAST = "last"
    """One run, for the latest of them."""

    ALL = "all"
    """One run each, for the latest `limit` of them; older ones are dropped."""


def due_fires(
    schedule: Schedule,
    last_fire: datetime | None,
    now: datetime,
    catch_up: CatchUp = CatchUp.LAST,
    *,
    limit: int = 100,
    on_time: timedelta = ON_TIME,
) -> list[datetime]:
    """Return the fire times to enqueue now, oldest first, in UTC.

    `last_fire` is the latest fire time already dealt with, or any later instant up to which all have been:
    the moment at which the schedule was declared or resumed, or the `now` of the call before. None means that
    the schedule is new; a new schedule owes nothing for the time before it existed. Store `now` (or the
    newest fire) after enqueueing.

    `limit` bounds `CatchUp.ALL`; the work is proportional to it and not to the length of the outage.
    `on_time` is how late `CatchUp.SKIP` may see a fire time and still run it. A clock set back gives no fire
    a second time.
    """
    if limit < 1:
        message = f"due_fires: limit must be 1 or more; got {limit}"
        raise ScheduleError(message)
    now = _utc(now)
    if last_fire is None or now <= (last_fire := _utc(last_fire)):
        return []
    match catch_up:
        case CatchUp.SKIP:
            return _latest(schedule, max(last_fire, now - on_time), now, 1)
        case CatchUp.LAST:
            return _latest(schedule, last_fire, now, 1)
        case CatchUp.ALL:
            return _latest(schedule, last_fire, now, limit)
        case _:
            assert_never(catch_up)


def next_wake(schedule: Schedule, last_fire: datetime | None, now: datetime) -> datetime:
    """Return when `due_fires` has to be asked again, in UTC: at the first fire time not dealt with.

    `last_fire` and `now` are those given to `due_fires`. After a clock was set back, it is the fire time
    after `last_fire`, so that a scheduler does not spin.
    """
    now = _utc(now)
    return schedule.next_after(now if last_fire is None else max(now, _utc(last_fire)))


def fires_between(schedule: Schedule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """Return the first `limit` fire times after `after` up to and including `until`, in UTC."""
    until = _utc(until)
    fires: list[datetime] = []
    instant = after
    while len(fires) < limit and (instant := schedule.next_after(instant)) <= until:
        fires.append(instant)
    return fires


def _latest(schedule: Schedule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    found: deque[datetime] = deque()
    for fire in _backwards(schedule, until):
        if fire <= after or len(found) == limit:
            break
        found.appendleft(fire)
    return list(found)


def _backwards(schedule: Schedule, until: datetime) -> Iterator[datetime]:
    fire = schedule.previous_or_at(until)
    while True:
        yield fire
        fire = schedule.previous_or_at(fire - _MILLISECOND)  # fire times are whole ones


def _is_a(value: object, kind: type) -> bool:
    """Tell at run time what the annotation promises: callers are not all type-checked."""
    return isinstance(value, kind)


def _utc(instant: datetime, what: str = "the instant") -> datetime:
    if instant.utcoffset() is None:
        message = f"{what} {instant!r} has no time zone: give an aware datetime, such as datetime.now(UTC)"
        raise ScheduleError(message)
    return instant.astimezone(UTC)


def _out_of_calendar(schedule: Schedule, side: str, instant: datetime) -> ScheduleError:
    return ScheduleError(
        f"schedule {schedule} has no fire time {side} {instant.isoformat()} that a date can hold"
    )
