"""Instants and durations that somebody gives are bounded once: `headway.clock`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.clock import LAST_MS, LONGEST_MS, duration_ms, from_ms, instant_ms, to_ms


@pytest.mark.parametrize(
    "duration",
    [timedelta.max, timedelta.min, float("inf"), float("-inf"), float("nan"), 1e300, 10**400, 10**5000, 4e10],
    ids=lambda duration: type(duration).__name__,
)
def test_a_duration_that_nothing_can_hold_is_refused_by_name(duration: timedelta | float) -> None:
    with pytest.raises(ValueError, match=r"^delay must be"):
        duration_ms(duration, "delay")


@pytest.mark.parametrize("duration", [None, True, [], object()])
def test_what_is_no_duration_is_refused_by_name(duration: object) -> None:
    with pytest.raises(TypeError, match=r"^delay must be a timedelta, a number of seconds, or a text"):
        duration_ms(duration, "delay")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["", "5 parsecs", "-5m", "1e9", "9" * 400 + "d", "9" * 5000])
def test_a_text_that_is_no_duration_or_too_long_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^delay must be"):
        duration_ms(text, "delay")


def test_an_instant_past_the_calendar_is_refused_by_name() -> None:
    late = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
    with pytest.raises(ValueError, match=r"^at must be before the end of the year 9999"):
        instant_ms(late, "at")
    with pytest.raises(ValueError, match=r"^at: .* has no time zone"):
        instant_ms(datetime(2026, 1, 1), "at")  # noqa: DTZ001 - on purpose
    with pytest.raises(TypeError, match=r"^at must be an aware datetime"):
        instant_ms("tomorrow", "at")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_what_lies_before_1970_counts_as_1970() -> None:
    assert instant_ms(datetime.min.replace(tzinfo=timezone(timedelta(hours=12))), "at") == 0


@given(st.integers(-(10**30), 10**30))
def test_any_stored_instant_can_be_shown(ms: int) -> None:
    shown = from_ms(ms)
    assert shown.tzinfo is UTC
    if 0 <= ms <= LAST_MS:
        assert to_ms(shown) == ms


@given(st.timedeltas() | st.floats() | st.integers())
def test_a_duration_that_is_taken_can_be_added_to_any_present_instant(duration: timedelta | float) -> None:
    try:
        ms = duration_ms(duration, "delay")
    except ValueError:
        return
    assert abs(ms) <= LONGEST_MS
    assert to_ms(from_ms(4_000_000_000_000 + ms)) == 4_000_000_000_000 + ms
