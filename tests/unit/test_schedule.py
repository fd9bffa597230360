"""Fire times as instants: daylight saving, intervals, and catching up."""

from __future__ import annotations

import itertools
import pickle
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.schedules.cron import parse
from headway.schedules.schedule import (
    CatchUp,
    Cron,
    Every,
    Schedule,
    ScheduleError,
    due_fires,
    fires_between,
    next_wake,
)

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)

# Zone and the UTC instant of a change of its clock: the usual hour, Lord Howe's half hour, a date left out
# (Samoa), a clock set back over midnight (Azores) and one without daylight saving (Venezuela, 30 minutes).
CHANGES = [
    ("Europe/Zurich", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Zurich", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Atlantic/Azores", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/Caracas", datetime(2007, 12, 9, 7, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
]
ZONES = sorted({zone for zone, _ in CHANGES})
EXPRESSIONS = [
    "*/5 * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 1 * * *",
    "30 2 * * *",
    "45 1,2 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "0 3 * * *",
    "15,45 0-3 * * *",
    "10 */2 29,25 * *",
    "0 0,12 30 12 *",
]
crons = st.builds(Cron, st.sampled_from([*EXPRESSIONS, "*/20 */9 * * * *"]), st.sampled_from([*ZONES, "UTC"]))
intervals = st.builds(
    Every,
    st.integers(1, 10**7).map(lambda n: n * SECOND),
    st.sampled_from([NOW, datetime(1970, 1, 1, tzinfo=UTC)]),
)
schedules = st.one_of(crons, intervals)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
near_changes = st.builds(
    lambda change, shift: change[1] + timedelta(seconds=shift),
    st.sampled_from(CHANGES),
    st.floats(-90_000, 90_000),
)
instants = st.one_of(moments, near_changes)


def by_definition(expression: str, zone: ZoneInfo, start: datetime, minutes: int) -> list[datetime]:
    """Walk the clock minute by minute: show each wall-clock time that is new, or was jumped over, to the fields."""
    times = parse(expression)
    fires = []
    latest = start.astimezone(zone).replace(tzinfo=None)  # the latest wall-clock time that has had its turn
    for step in range(1, minutes + 1):
        instant = start + step * MINUTE
        wall = instant.astimezone(zone).replace(tzinfo=None)
        new = []
        while latest < wall:
            latest += MINUTE
            new.append(latest)
        if any(times.matches(one) for one in new):
            fires.append(instant)
    return fires


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize(("name", "change"), CHANGES)
def test_fire_times_around_a_change_of_the_clock_follow_the_definition(
    expression: str, name: str, change: datetime
) -> None:
    start, minutes = change - 26 * HOUR, 52 * 60
    fires = fires_between(Cron(expression, name), start, start + minutes * MINUTE, minutes)
    assert fires == by_definition(expression, ZoneInfo(name), start, minutes)


@UNTIMED
@given(
    st.sampled_from(
        ["30 1 * * *", "30 2 * * *", "45 1,2 * * *", "0 0 * * *", "15,45 0-3 * * *", "0-59/7 2 * * *"]
    ),
    st.sampled_from(ZONES),
    moments,
)
def test_fixed_times_run_when_debian_cron_runs_them(expression: str, zone: str, start: datetime) -> None:
    # cronsim follows Debian's cron, which treats times that are not wildcards as we treat all of them.
    start = start.replace(hour=12)
    theirs = (fire.astimezone(UTC) for fire in CronSim(expression, start.astimezone(ZoneInfo(zone))))
    expected = [fire for fire, _ in itertools.groupby(itertools.islice(theirs, 500))][:400]
    assert fires_between(Cron(expression, zone), start, expected[-1], 400) == expected


def local(cron: Cron, day: str, count: int) -> list[str]:
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(cron.timezone))
    fires = fires_between(cron, start - SECOND, start + 3 * 24 * HOUR, count)
    return [fire.astimezone(ZoneInfo(cron.timezone)).strftime("%d %H:%M %z") for fire in fires]


@pytest.mark.parametrize(
    ("expression", "zone", "day", "expected"),
    [
        ("30 2 * * *", "Europe/Zurich", "2026-03-28", ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", "Europe/Zurich", "2026-10-24", ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]),
        ("30 1 * * *", "America/New_York", "2026-11-01", ["01 01:30 -0400", "02 01:30 -0500"]),
        ("30 2 * * *", "America/New_York", "2026-03-08", ["08 03:00 -0400", "09 02:30 -0400"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["04 02:30 +1100", "05 02:15 +1100"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["05 01:45 +1100", "06 01:45 +1030"]),
        ("0 * 25 * *", "Europe/Zurich", "2026-10-25", ["25 00:00 +0200", "25 01:00 +0200", "25 02:00 +0200", "25 03:00 +0100"]),
        ("0 * 29 * *", "Europe/Zurich", "2026-03-29", ["29 00:00 +0100", "29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]),
        ("30 2,3 29 * *", "Europe/Zurich", "2026-03-29", ["29 03:00 +0200", "29 03:30 +0200"]),
        ("0,30 2,3 29 * *", "Europe/Zurich", "2026-03-29", ["29 03:00 +0200", "29 03:30 +0200"]),
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-29", ["31 00:00 +1400"]),
    ],
)  # fmt: skip
def test_daylight_saving(expression: str, zone: str, day: str, expected: list[str]) -> None:
    assert local(Cron(expression, zone), day, len(expected)) == expected


def test_every_goes_on_in_elapsed_time_while_an_hour_repeats() -> None:
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)
    every = fires_between(Every(5 * MINUTE), change - HOUR, change + HOUR, 100)
    cron = fires_between(Cron("*/5 * * * *", "Europe/Zurich"), change - HOUR, change + HOUR, 100)
    assert every == [change - HOUR + n * 5 * MINUTE for n in range(1, 25)]
    assert cron == [change - HOUR + n * 5 * MINUTE for n in range(1, 12)] + [change + HOUR]


@UNTIMED
@given(schedules, instants)
def test_next_previous_and_matches_agree(schedule: Schedule, instant: datetime) -> None:
    following = schedule.next_after(instant)
    assert following > instant
    assert following.tzinfo is UTC
    assert following.microsecond == 0
    assert schedule.matches(following)
    assert not schedule.matches(following + timedelta(microseconds=1))
    assert schedule.next_after(following) > following
    assert schedule.previous_or_at(following) == following
    assert schedule.next_after(following - timedelta(microseconds=1)) == following
    before = schedule.previous_or_at(instant)
    assert before <= instant
    assert before.tzinfo is UTC
    assert schedule.next_after(before) == following
    assert schedule.matches(instant) == (before == instant)


@UNTIMED
@given(schedules, instants, instants)
def test_next_is_monotonic(schedule: Schedule, one: datetime, other: datetime) -> None:
    early, late = sorted((one, other))
    assert schedule.next_after(early) <= schedule.next_after(late)
    assert schedule.previous_or_at(early) <= schedule.previous_or_at(late)


@UNTIMED
@given(schedules, instants, st.sampled_from(ZONES))
def test_the_zone_of_the_question_does_not_matter(schedule: Schedule, instant: datetime, zone: str) -> None:
    assert schedule.next_after(instant.astimezone(ZoneInfo(zone))) == schedule.next_after(instant)


def test_every_is_aligned_to_its_anchor() -> None:
    anchor = datetime(2026, 1, 1, 0, 0, 10, tzinfo=timezone(HOUR))
    every = Every(timedelta(hours=7), anchor)
    assert every.matches(anchor)
    assert every.next_after(anchor) == anchor + timedelta(hours=7)
    assert every.next_after(anchor - SECOND) == anchor
    assert every.next_after(anchor - timedelta(hours=8)) == anchor - timedelta(hours=7)
    assert every == Every(timedelta(hours=7), anchor.astimezone(UTC))
    assert Every(HOUR).next_after(NOW) == datetime(2026, 11, 20, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "interval", [timedelta(0), timedelta(milliseconds=999), -SECOND, timedelta(seconds=1.5), timedelta(days=1, microseconds=1)]
)  # fmt: skip
def test_every_refuses_an_interval_that_is_not_whole_seconds(interval: timedelta) -> None:
    with pytest.raises(ScheduleError, match="interval must be a whole number of seconds"):
        Every(interval)


def test_every_refuses_an_anchor_that_is_not_an_exact_instant() -> None:
    with pytest.raises(ScheduleError, match=r"anchor .* has no time zone"):
        Every(HOUR, datetime(2026, 1, 1))  # noqa: DTZ001 - refused
    with pytest.raises(ScheduleError, match="anchor must be on a whole millisecond"):
        Every(HOUR, datetime(2026, 1, 1, microsecond=1, tzinfo=UTC))


@pytest.mark.parametrize(
    "zone", ["Europe/Zürich", "Europe", "Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "x\0"]
)
def test_an_unknown_zone_is_named(zone: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Cron("* * * * *", zone)
    assert f"time zone {zone!r} is not known" in str(caught.value)


@pytest.mark.parametrize("schedule", [Cron("* * * * *"), Every(HOUR)])
def test_naive_instants_are_refused(schedule: Schedule) -> None:
    for ask in (schedule.next_after, schedule.previous_or_at, schedule.matches):
        with pytest.raises(ScheduleError, match="has no time zone"):
            ask(datetime(2026, 1, 1))  # noqa: DTZ001 - refused


@pytest.mark.parametrize("zone", ["UTC", "Europe/Zurich", "America/New_York"])
def test_the_ends_of_the_calendar_are_reported(zone: str) -> None:
    last, first = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    for schedule in (Cron("0 0 31 12 *", zone), Every(timedelta(days=365_000), NOW)):
        with pytest.raises(ScheduleError, match="no fire time after 9999"):
            schedule.next_after(last)
        with pytest.raises(ScheduleError, match="no fire time up to 0001"):
            schedule.previous_or_at(first + SECOND)


def test_schedules_are_values() -> None:
    cron = Cron("0  3 * *\tMON", "Europe/Zurich")
    assert cron == Cron("0 3 * * MON", "Europe/Zurich")
    assert cron != Cron("0 3 * * MON")
    assert len({cron, Cron("0 3 * * MON", "Europe/Zurich"), Every(HOUR), Every(60 * MINUTE)}) == 2
    assert repr(cron) == "Cron(expression='0 3 * * MON', timezone='Europe/Zurich')"
    assert (str(cron), str(Every(HOUR))) == ("0 3 * * MON (Europe/Zurich)", "every 1:00:00")
    copy = pickle.loads(pickle.dumps(cron))  # noqa: S301 - our own bytes
    assert copy == cron
    assert copy.next_after(NOW) == cron.next_after(NOW)


@UNTIMED
@given(schedules, instants, st.integers(0, 10**6), st.integers(1, 8))
def test_all_gives_the_latest_of_everything_missed(
    schedule: Schedule, since: datetime, gap: int, limit: int
) -> None:
    now = since + gap * SECOND
    fires = due_fires(schedule, since, now, CatchUp.ALL, limit=limit)
    assert len(fires) <= limit
    assert fires == sorted(set(fires))
    if len(fires) < limit:
        assert fires == fires_between(schedule, since, now, limit)
    else:
        assert fires == fires_between(schedule, fires[0] - SECOND, now, limit + 1)
        assert fires[0] > since
    assert due_fires(schedule, since, now, CatchUp.LAST) == fires[-1:]


@UNTIMED
@given(schedules, instants, st.lists(st.integers(0, 200_000), max_size=12), st.sampled_from(CatchUp))
def test_a_run_of_calls_never_gives_a_fire_twice(
    schedule: Schedule, start: datetime, gaps: list[int], catch_up: CatchUp
) -> None:
    seen: list[datetime] = []
    last, now = start, start
    for gap in gaps:
        now += gap * SECOND
        seen += due_fires(schedule, last, now, catch_up)
        assert due_fires(schedule, now, now, catch_up) == []
        assert next_wake(schedule, last, now) > now
        last = now
    assert seen == sorted(set(seen))
    assert all(schedule.matches(fire) for fire in seen)


@UNTIMED
@given(schedules, instants, st.integers(1, 20), st.sampled_from(CatchUp))
def test_a_scheduler_that_wakes_when_told_misses_nothing(
    schedule: Schedule, start: datetime, count: int, catch_up: CatchUp
) -> None:
    last, seen = start, []
    for _ in range(count):
        now = next_wake(schedule, last, last) + timedelta(milliseconds=5)
        seen += due_fires(schedule, last, now, catch_up)
        last = now
    assert seen == fires_between(schedule, start, seen[-1], count + 1)
    assert len(seen) == count


def test_catch_up_after_an_outage_of_an_hour() -> None:
    every, since = Every(5 * MINUTE), NOW - HOUR
    missed = [datetime(2026, 11, 20, 11, tzinfo=UTC) + n * 5 * MINUTE for n in range(1, 13)]
    assert due_fires(every, since, NOW) == missed[-1:]
    assert due_fires(every, since, NOW, CatchUp.ALL) == missed
    assert due_fires(every, since, NOW, CatchUp.ALL, limit=3) == missed[-3:]
    assert due_fires(every, since, NOW, CatchUp.SKIP) == missed[-1:]  # 30 s late is not missed
    assert due_fires(every, since, NOW + MINUTE, CatchUp.SKIP) == []
    assert due_fires(every, since, NOW, CatchUp.SKIP, on_time=10 * SECOND) == []


def test_an_outage_of_years_costs_no_more_than_the_limit() -> None:
    since = NOW - timedelta(days=3650)
    fires = due_fires(Cron("* * * * * *", "Europe/Zurich"), since, NOW, CatchUp.ALL, limit=2)
    assert fires == [NOW - SECOND, NOW]


def test_a_new_schedule_owes_nothing() -> None:
    for catch_up in CatchUp:
        assert due_fires(Every(SECOND), None, NOW, catch_up) == []
    assert next_wake(Every(SECOND), None, NOW) == NOW + SECOND


def test_a_clock_set_back_neither_repeats_a_fire_nor_spins() -> None:
    last = NOW + HOUR
    for catch_up in CatchUp:
        assert due_fires(Every(SECOND), last, NOW, catch_up) == []
    assert next_wake(Every(SECOND), last, NOW) == last + SECOND


def test_due_fires_refuses_a_limit_below_one() -> None:
    with pytest.raises(ScheduleError, match="limit must be 1 or more"):
        due_fires(Every(SECOND), None, NOW, limit=0)
