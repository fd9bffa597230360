"""The cron parser and search, against two other implementations and against the definition itself."""

# ruff: noqa: DTZ001 - the parser knows wall-clock times only

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.schedules.cron import ScheduleError, parse

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed

RANGES = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
NAMES = {
    4: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    5: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}
instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(lambda d: d.replace(microsecond=0))


@st.composite
def items(draw: st.DrawFn, position: int) -> str:
    low, high = RANGES[position]
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    kind = draw(st.sampled_from(["number", "range", "range/step", "number/step", "name"]))
    if kind == "name" and position in NAMES:
        return draw(st.sampled_from(NAMES[position]))
    if kind == "range" and last > first:
        return f"{first}-{last}"
    if kind == "range/step" and last > first:
        return f"{first}-{last}/{draw(st.integers(1, last - first))}"
    if kind == "number/step" and high > first:
        return f"{first}/{draw(st.integers(1, high - first))}"
    return str(first)


@st.composite
def fields(draw: st.DrawFn, position: int) -> str:
    low, high = RANGES[position]
    kind = draw(st.sampled_from(["*", "*", "*/n", "list"]))
    if kind == "*":
        return "*"
    if kind == "*/n":
        return f"*/{draw(st.integers(1, high - low))}"
    return ",".join(draw(st.lists(items(position), min_size=1, max_size=3)))


@st.composite
def expressions(draw: st.DrawFn, *, seconds: bool) -> str:
    day = st.one_of(fields(3), st.just("L"))
    nth = st.builds("{}#{}".format, st.integers(0, 7), st.integers(1, 4))
    weekday = st.one_of(fields(5), nth, st.builds("{}L".format, st.integers(0, 7)))
    parts = [fields(1), fields(2), day, fields(4), weekday]
    return " ".join(draw(part) for part in ([fields(0), *parts] if seconds else parts))


def _possible(expression: str) -> bool:
    try:
        parse(expression)
    except ScheduleError as error:
        if "no year has such a date" not in str(
            error
        ):  # what is drawn is well written: nothing else is refused
            raise
        return False
    return True


@UNTIMED
@given(st.one_of(expressions(seconds=False), expressions(seconds=True)).filter(_possible), instants)
def test_next_match_is_that_of_cronsim(expression: str, start: datetime) -> None:
    times = parse(expression)
    ours = start
    for theirs in itertools.islice(CronSim(expression, start.replace(tzinfo=UTC)), 5):
        found = times.next_match(ours)
        assert found is not None
        assert found == theirs.replace(tzinfo=None)
        ours = found


@UNTIMED
@given(expressions(seconds=False).filter(_possible), instants)
def test_previous_match_is_that_of_cronsim(expression: str, start: datetime) -> None:
    times = parse(expression)
    at = start
    for theirs in itertools.islice(CronSim(expression, start.replace(tzinfo=UTC), reverse=True), 5):
        found = times.previous_match(at - timedelta(seconds=1))  # cronsim starts strictly before
        assert found is not None
        assert found == theirs.replace(tzinfo=None)
        at = found


@UNTIMED
@given(fields(1), fields(2), fields(4), instants)
def test_next_match_is_that_of_croniter(minute: str, hour: str, month: str, start: datetime) -> None:
    # croniter differs in the day fields on purpose (it takes `*/2` as restricted), so they are left free here.
    expression = f"{minute} {hour} * {month} *"
    ours = parse(expression).next_match(start)
    assert ours == croniter(expression, start).get_next(datetime)


@UNTIMED
@given(expressions(seconds=True).filter(_possible), instants)
def test_search_agrees_with_the_definition(expression: str, start: datetime) -> None:
    times = parse(expression)
    following = times.next_match(start)
    assert following is not None
    assert following > start
    assert times.matches(following)
    assert times.previous_match(following) == following
    assert times.next_match(following - timedelta(seconds=1)) == following
    before = times.previous_match(following - timedelta(seconds=1))
    assert before is not None
    assert before <= start
    assert times.matches(start) == (before == start)


@UNTIMED
@given(expressions(seconds=True).filter(_possible), instants)
def test_nothing_matches_between_two_neighbours(expression: str, start: datetime) -> None:
    times = parse(expression)
    following = times.next_match(start)
    assert following is not None
    seconds = min(int((following - start).total_seconds()), 4000)
    assert not any(times.matches(start + timedelta(seconds=n)) for n in range(1, seconds))


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        (" @Annually ", "0 0 1 1 *"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("*/20 * * * *", "0,20,40 * * * *"),
        ("0 9-17/4 * * *", "0 9,13,17 * * *"),
        ("0 0 * jan-mar mon", "0 0 * 1-3 1"),
        ("0 0 * * 7", "0 0 * * SUN"),
        ("0 0 * * 5-7", "0 0 * * FRI,SAT,SUN"),
        ("0 0 * * FRI-SUN", "0 0 * * 5,6,0"),
        ("0 0 * * SUN-TUE", "0 0 * * 0,1,2"),
        ("0 0 * * MON/3", "0 0 * * MON,THU,SUN"),
        ("0 0 * * */7", "0 0 * * SUN"),
        ("0 0 * * FRIL", "0 0 * * 5L"),
        ("0 0 * * 7#2", "0 0 * * SUN#2"),
        ("0 0 12 * * *", "0 12 * * *"),
    ],
)
def test_two_ways_to_write_the_same_times(expression: str, same: str) -> None:
    wall, other = parse(expression), parse(same)
    start = datetime(2026, 1, 1)
    for _ in range(20):
        found = wall.next_match(start)
        assert found is not None
        assert found == other.next_match(start)
        start = found


@pytest.mark.parametrize(
    ("expression", "first_days"),
    [
        # Neither day field starts with a star: either is enough.
        ("0 0 13 * FRI", ["2026-01-02", "2026-01-09", "2026-01-13", "2026-01-16"]),
        # A star, with or without a step, asks for both: here the first Monday of a month, and odd Fridays.
        ("0 0 1-7 * */7", ["2026-01-04", "2026-02-01", "2026-03-01", "2026-04-05"]),
        ("0 0 */2 * FRI", ["2026-01-09", "2026-01-23", "2026-02-13", "2026-02-27"]),
        ("0 0 L * *", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("0 0 15,L * *", ["2026-01-15", "2026-01-31", "2026-02-15", "2026-02-28"]),
        ("0 0 * * MON#1", ["2026-01-05", "2026-02-02", "2026-03-02", "2026-04-06"]),
        ("0 0 * * 5L", ["2026-01-30", "2026-02-27", "2026-03-27", "2026-04-24"]),
        ("0 0 31 * *", ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"]),
        ("0 0 * * SUN#5", ["2026-03-29", "2026-05-31", "2026-08-30", "2026-11-29"]),
    ],
)
def test_days(expression: str, first_days: list[str]) -> None:
    times, at, found = parse(expression), datetime(2025, 12, 31, 23), []
    for _ in first_days:
        following = times.next_match(at)
        assert following is not None
        found.append(following.date().isoformat())
        at = following
    assert found == first_days


def test_the_rarest_date_is_found_across_a_century_that_skips_its_leap_year() -> None:
    times = parse("0 0 29 2 */7")
    assert times.next_match(datetime(2088, 3, 1)) == datetime(2128, 2, 29)
    assert times.previous_match(datetime(2128, 2, 28)) == datetime(2088, 2, 29)


def test_the_calendar_ends() -> None:
    times = parse("59 59 23 31 12 *")
    assert times.next_match(datetime(9999, 12, 31)) == datetime(9999, 12, 31, 23, 59, 59)
    assert times.next_match(datetime(9999, 12, 31, 23, 59, 59)) is None
    assert times.previous_match(datetime(1, 12, 31, 23, 59, 58)) is None


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("60 * * * *", ["'minute'", "'60'", "0 to 59"]),
        ("* 24 * * *", ["'hour'", "'24'"]),
        ("* * 0 * *", ["'day of month'", "'0'"]),
        ("* * 32 * *", ["'day of month'", "'32'"]),
        ("* * * 13 *", ["'month'", "'13'", "JAN"]),
        ("* * * FOO *", ["'month'", "'FOO'"]),
        ("* * * * 8", ["'day of week'", "'8'", "SUN"]),
        ("60 * * * * *", ["'second'", "'60'"]),
        ("1,,2 * * * *", ["'minute'", "''"]),
        ("1,x * * * *", ["'minute'", "'X'"]),
        ("-1 * * * *", ["'minute'", "'-1'"]),
        ("5-1 * * * *", ["'minute'", "'5-1'", "backwards"]),
        ("* * * * FRI-MON", ["'day of week'", "'FRI-MON'", "backwards"]),
        ("*/0 * * * *", ["'minute'", "'*/0'", "step"]),
        ("*/x * * * *", ["'minute'", "'*/X'", "step"]),
        ("*/ * * * *", ["'minute'", "'*/'", "step"]),
        ("*/90 * * * *", ["'minute'", "'*/90'", "Every"]),
        ("50/10 * * * *", ["'minute'", "'50/10'", "Every"]),
        ("1/2/3 * * * *", ["'minute'", "'1/2/3'"]),
        ("**/2 * * * *", ["'minute'", "'**/2'"]),
        ("² * * * *", ["'minute'", "'²'"]),
        ("٣ * * * *", ["'minute'", "'٣'"]),
        ("9" * 5000 + " * * * *", ["'minute'"]),
        ("L * * * *", ["'minute'", "'L'"]),
        ("* * L-3 * *", ["'day of month'", "'L-3'"]),
        ("* * 15W * *", ["'day of month'", "'15W'"]),
        ("* * ? * *", ["'day of month'", "'?'"]),
        ("* * * * L", ["'day of week'", "'L'", "5L"]),
        ("* * * * MON#6", ["'day of week'", "'MON#6'", "1 to 5"]),
        ("* * * * MON#", ["'day of week'", "'MON#'"]),
        ("* * * * #1", ["'day of week'", "'#1'"]),
        ("* * * * 1-2#1", ["'day of week'", "'1-2#1'"]),
        ("0 0 31 2 *", ["'day of month'", "'31'", "no year"]),
        ("0 0 30,31 FEB *", ["'day of month'", "'30,31'", "no year"]),
        ("0 0 31 2,4,6,9,11 *", ["'day of month'", "no year"]),
        ("0 0 */30 2 MON#2", ["no year"]),
        ("", ["0 fields"]),
        ("* * * *", ["4 fields"]),
        ("0 0 0 1 1 * 2027", ["7 fields"]),
        ("@reboot", ["'@reboot'", "@daily"]),
        ("@every 5m", ["'@every 5m'"]),
    ],
)
def test_refusals_name_the_field_and_the_culprit(expression: str, named: list[str]) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(expression)
    assert all(part in str(caught.value) for part in named), caught.value


@UNTIMED
@given(st.text("0123456789*,-/L#@ MONJA", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        times = parse(text)
    except ScheduleError:
        return
    assert times.next_match(datetime(2026, 1, 1)) is not None
