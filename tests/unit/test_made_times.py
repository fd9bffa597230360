"""When schedules made at run time fire: the same rules as in the code, with a first and a last time."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from headway.clock import from_ms, to_ms
from headway.errors import CodecError
from headway.schedules.made import (
    Definition,
    decode_definition,
    encode_definition,
    next_fire,
    owed,
)
from headway.schedules.schedule import CatchUp, due_fires, fires_between, next_wake

UNTIMED = settings(deadline=None)
START = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # an hour is about to repeat in Zurich
START_MS = to_ms(START)
MINUTE_MS = 60_000

whens = st.one_of(
    st.sampled_from(["*/5 * * * *", "30 2 * * *", "0 * * * *", "*/20 * * * * *"]).map(
        lambda cron: Definition("t", b"", START_MS, cron=cron, timezone="Europe/Zurich")
    ),
    st.tuples(st.integers(1, 7200), st.integers(0, 10**7)).map(
        lambda one: Definition("t", b"", START_MS, every_ms=one[0] * 1000, anchor_ms=one[1])
    ),
)
later = st.integers(0, 6 * 3_600_000).map(lambda ms: START_MS + ms)
policies = st.sampled_from(CatchUp)


def all_fires(definition: Definition, until: datetime) -> list[datetime]:
    """Compute by counting forwards, one after the other, what `owed` finds from the end."""
    found: list[datetime] = []
    at = START
    while (following := next_fire(definition, None, at)) is not None and following <= until:
        found.append(following)
        at = following
    return found


@UNTIMED
@given(whens, later, policies)
def test_without_first_and_last_time_they_fire_like_those_in_the_code(
    definition: Definition, now_ms: int, policy: CatchUp
) -> None:
    definition, now = replace(definition, catch_up=policy), from_ms(now_ms)
    assert owed(definition, None, now, limit=100) == due_fires(
        definition.schedule, START, now, policy, limit=100
    )
    assert next_fire(definition, None, now) == next_wake(definition.schedule, START, now)


@UNTIMED
@given(whens, later, later, later)
def test_all_that_is_owed_lies_between_the_first_and_the_last_time(
    definition: Definition, first_ms: int, until_ms: int, now_ms: int
) -> None:
    definition = replace(definition, first_ms=first_ms, until_ms=until_ms, catch_up=CatchUp.ALL)
    now = from_ms(now_ms)
    fires = owed(definition, None, now, limit=10**6)
    first, until = from_ms(first_ms), from_ms(until_ms)
    if first > min(now, until) or first_ms == START_MS:
        assert not fires or first_ms == START_MS
    else:
        assert fires[0] == first
        assert fires[1:] == fires_between(definition.schedule, first, min(now, until), 10**6)
        assert fires == [fire for fire in all_fires(definition, now) if fire >= first]


@UNTIMED
@given(
    whens, st.none() | later, st.none() | later, st.lists(st.integers(0, 3_600_000), max_size=12), policies
)
def test_looks_at_any_times_find_each_fire_once(
    definition: Definition, first_ms: int | None, until_ms: int | None, pauses: list[int], policy: CatchUp
) -> None:
    """And with `all` none is left out."""
    definition = replace(definition, first_ms=first_ms, until_ms=until_ms, catch_up=policy)
    found: list[datetime] = []
    now_ms, last_ms = START_MS, None
    for pause in pauses:
        now_ms += pause
        fires = owed(definition, last_ms, from_ms(now_ms), limit=10**6)
        assert policy is CatchUp.ALL or len(fires) <= 1
        assert owed(definition, last_ms, from_ms(now_ms), limit=2) == fires[-2:]
        found += fires
        last_ms = to_ms(fires[-1]) if fires else last_ms
    assert found == sorted(set(found))
    whole = all_fires(definition, from_ms(now_ms))
    assert set(found) <= set(whole)
    if policy is CatchUp.ALL:
        assert found == whole


def test_the_intervals_count_from_a_first_time_to_the_millisecond() -> None:
    """As an importer brings them along: the next fire time of the other system is kept."""
    first = START_MS + 12_345
    definition = Definition("t", b"", START_MS, every_ms=60_000, anchor_ms=first, first_ms=first)
    fires = owed(replace(definition, catch_up=CatchUp.ALL), None, from_ms(first + 150_000), limit=100)
    assert [to_ms(fire) for fire in fires] == [first, first + 60_000, first + 120_000]
    assert next_fire(definition, first, from_ms(first)) == from_ms(first + 60_000)


def test_a_first_time_that_is_none_of_the_schedule_is_one_more() -> None:
    first = START_MS + 90_500
    definition = Definition("t", b"", START_MS, cron="* * * * *", first_ms=first, catch_up=CatchUp.ALL)
    assert next_fire(definition, None, START) == from_ms(first)
    fires = owed(definition, None, from_ms(first + MINUTE_MS), limit=100)
    assert [to_ms(fire) - START_MS for fire in fires] == [90_500, 120_000]


def test_a_first_time_that_has_passed_is_still_to_come() -> None:
    first = START_MS - 5_000
    definition = Definition("t", b"", first - 1, every_ms=3_600_000, anchor_ms=first, first_ms=first)
    assert owed(definition, None, START, limit=100) == [from_ms(first)]
    assert owed(definition, first, START, limit=100) == []


def test_what_is_skipped_is_not_made_up_for_after_the_last_time() -> None:
    until = START_MS + 10 * MINUTE_MS
    definition = Definition("t", b"", START_MS, cron="* * * * *", until_ms=until, catch_up=CatchUp.SKIP)
    assert owed(definition, None, from_ms(until), limit=100) == [from_ms(until)]
    assert owed(definition, None, from_ms(until + 2 * MINUTE_MS), limit=100) == []
    assert owed(replace(definition, catch_up=CatchUp.LAST), None, from_ms(2 * until), limit=9) == [
        from_ms(until)
    ]


@UNTIMED
@given(whens, st.none() | later, policies, st.booleans(), st.none() | st.integers(0, 9))
def test_a_definition_is_read_as_it_was_written(
    definition: Definition, first_ms: int | None, policy: CatchUp, paused: bool, priority: int | None
) -> None:
    definition = replace(
        definition, first_ms=first_ms, catch_up=policy, paused=paused, priority=priority, call=b"\x10\x90"
    )
    assert decode_definition(encode_definition(definition)) == definition


@UNTIMED
@given(st.binary(max_size=200))
def test_damaged_bytes_are_an_error_that_can_be_named(body: bytes) -> None:
    with suppress(CodecError):
        decode_definition(body)


def test_fields_of_a_later_version_are_passed_over() -> None:
    import msgspec  # noqa: PLC0415 - the bytes alone

    whole = {"task": "t", "call": b"", "since_ms": 1, "cron": "0 3 * * *", "jitter_ms": 5}
    assert decode_definition(msgspec.msgpack.encode(whole)).spec == "0 3 * * * (UTC)"
    with pytest.raises(CodecError, match="newer Headway"):
        decode_definition(msgspec.msgpack.encode(whole | {"catch_up": "some"}))
    assert Definition("t", b"", 1, every_ms=90_000).spec == f"every {timedelta(seconds=90)}"
