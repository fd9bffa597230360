"""The emulator's token bucket and throttle."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headway.emulator.lanes import Lane
from headway.emulator.model import Queue, QueueState, RateLimits
from headway.emulator.rates import Throttle, TokenBucket

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed
STEPS = st.lists(st.integers(0, 2000), min_size=1, max_size=80)


@UNTIMED
@given(rate=st.floats(0.01, 500), burst=st.integers(1, 500), steps=STEPS)
def test_no_window_lets_more_go_than_burst_and_rate_allow(rate: float, burst: int, steps: list[int]) -> None:
    now, bucket, taken = 0, TokenBucket(rate, burst, 0), list[int]()
    for step in steps:
        now += step
        for _ in range(burst + 1):
            if not bucket.take(now):
                break
            taken.append(now)
    for first in range(0, len(taken), 7):
        begin = taken[first]
        assert len(taken) - first <= burst + rate * (taken[-1] - begin) / 1000 + 1e-6


@UNTIMED
@given(rate=st.floats(0.01, 500), burst=st.integers(1, 50))
def test_the_next_token_is_there_at_the_announced_instant_and_not_much_before(
    rate: float, burst: int
) -> None:
    now, bucket = 1000, TokenBucket(rate, burst, 1000)
    while bucket.take(now):
        pass
    then = bucket.next_ms(now)
    assert then > now
    if then - 2 > now:
        assert not bucket.take(then - 2)
    assert bucket.take(then)


def test_a_clock_that_is_set_back_gives_no_tokens() -> None:
    bucket = TokenBucket(1, 1, 10_000)
    assert bucket.take(10_000)
    assert not bucket.take(0)
    assert not bucket.take(10_500)
    assert bucket.take(11_000)


def test_overload_slows_down_within_bounds_and_success_speeds_up_again() -> None:
    throttle = Throttle()
    for _ in range(100):
        throttle.note(overloaded=True)
    assert throttle.factor == 1 / 64
    for _ in range(100):
        throttle.note(overloaded=False)
    assert throttle.factor == 1
    assert not throttle.note(overloaded=False)


def test_the_throttle_can_be_switched_off() -> None:
    throttle = Throttle(enabled=False)
    assert not throttle.note(overloaded=True)
    assert throttle.factor == 1


def test_a_lane_hands_out_by_due_time_and_knows_when_to_look_again() -> None:
    lane = Lane(Queue("q", RateLimits(10, 2)), 0, throttle=True)
    assert lane.next_ms(0) is None
    for name, due in (("late", 500), ("first", 100), ("second", 100)):
        lane.schedule(name, due)
    assert lane.due(99) is None
    assert lane.next_ms(0) == 100
    assert lane.due(100) == "first"
    assert lane.take("first", 100)
    assert lane.due(100) == "second"
    lane.forget("second")
    assert lane.due(100) is None
    lane.schedule("late", 200)
    assert lane.due(200) == "late"
    lane.flying = 2
    assert lane.due(200) is None
    assert lane.next_ms(200) is None
    lane.flying = 0
    lane.configure(Queue("q", state=QueueState.PAUSED), 200)
    assert lane.due(200) is None
    lane.configure(Queue("q"), 200)
    assert lane.due(200) == "late"


def test_rescheduling_leaves_no_rubbish_behind() -> None:
    lane = Lane(Queue("q"), 0, throttle=True)
    for due in range(10_000):
        lane.schedule("one", due)
    assert len(lane._heap) < 200
    assert lane.due(9_998) is None
    assert lane.due(9_999) == "one"
