from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from headway.clock import to_ms
from headway.emulator.model import RetryConfig
from headway.emulator.scheduler.turns import Turn, after_failure, first_turn, next_fire, started
from headway.schedules.schedule import Cron

HOURLY = Cron("0 * * * *")
SECOND = 1000
MINUTE = 60 * SECOND


def at(hour: int, minute: int = 0, second: int = 0) -> int:
    return to_ms(datetime(2027, 3, 1, hour, minute, second, tzinfo=UTC))


def retrying(
    count: int,
    *,
    max_duration_ms: int = 0,
    min_backoff_ms: int = 5 * SECOND,
    max_backoff_ms: int = 3600 * SECOND,
) -> RetryConfig:
    return RetryConfig(count, max_duration_ms, min_backoff_ms, max_backoff_ms, 5)


def failed(turn: Turn, retries: RetryConfig, lasting: int = 0) -> Turn:
    """The turn after an attempt that began when it was due."""
    return after_failure(HOURLY, started(turn, turn.due_ms), retries, turn.due_ms + lasting)


def test_a_new_job_waits_for_the_next_time_of_its_schedule() -> None:
    assert first_turn(HOURLY, at(3, 20)) == Turn(at(4), at(4))
    assert first_turn(HOURLY, at(4)) == Turn(at(5), at(5))


def test_after_an_execution_comes_the_next_time() -> None:
    assert next_fire(HOURLY, Turn(at(4), at(4)), at(4, 0, 3)) == Turn(at(5), at(5))


def test_a_clock_that_was_set_back_brings_no_execution_twice() -> None:
    assert next_fire(HOURLY, Turn(at(4), at(4)), at(3, 59)) == Turn(at(5), at(5))


def test_an_execution_that_lasted_too_long_is_followed_at_once_by_one_for_the_latest_time() -> None:
    assert next_fire(HOURLY, Turn(at(4), at(4)), at(6, 10)) == Turn(at(6), at(6, 10))


def test_without_retries_a_failure_waits_for_the_next_time() -> None:
    assert failed(Turn(at(4), at(4)), retrying(0)) == Turn(at(5), at(5))


def test_retries_keep_the_time_of_the_execution_and_end_with_their_count() -> None:
    retries = retrying(2)
    turn = Turn(at(4), at(4))

    turn = failed(turn, retries)
    assert turn == Turn(at(4), at(4, 0, 5), attempts=1, first_ms=at(4))
    turn = failed(turn, retries)
    assert turn == Turn(at(4), at(4, 0, 15), attempts=2, first_ms=at(4))
    assert failed(turn, retries) == Turn(at(5), at(5))


def test_retries_go_on_until_both_limits_are_reached() -> None:
    retries = retrying(1, max_duration_ms=30 * SECOND, max_backoff_ms=10 * SECOND)
    turn = Turn(at(4), at(4))
    starts: list[int] = []
    while turn.fire_ms == at(4):
        starts.append((turn.due_ms - at(4)) // SECOND)
        turn = failed(turn, retries)
    assert starts == [0, 5, 15, 25, 35]


def test_the_next_time_of_the_schedule_ends_the_retries() -> None:
    retries = retrying(5, min_backoff_ms=40 * MINUTE)
    turn = failed(Turn(at(4), at(4)), retries)
    assert turn.due_ms == at(4, 40)
    assert failed(turn, retries) == Turn(at(5), at(5))


@given(
    count=st.integers(0, 5),
    duration=st.integers(0, 7200),
    least=st.integers(1, 7200),
    doublings=st.integers(0, 1_000_000),
    lasting=st.integers(0, 3 * 3600),
)
def test_every_turn_comes_later_and_every_time_of_the_schedule_ends_what_was_before(
    count: int, duration: int, least: int, doublings: int, lasting: int
) -> None:
    retries = RetryConfig(count, duration * SECOND, least * SECOND, 3600 * SECOND, doublings)
    turn = Turn(at(4), at(4))
    for _ in range(20):
        following = failed(turn, retries, lasting * SECOND)
        assert following.due_ms >= turn.due_ms
        assert (following.due_ms, following.fire_ms) != (turn.due_ms, turn.fire_ms)
        if following.fire_ms == turn.fire_ms:
            assert following.due_ms < turn.fire_ms + 3600 * SECOND
        turn = following
