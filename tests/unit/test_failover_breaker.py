from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headway.routing.failover.breaker import Breaker, BreakerState, Thresholds

RULES = Thresholds(errors=3, window=10.0, timeout=1.0, pause=5.0)


class Instant:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def look_due(one: Breaker) -> bool:
    return one.look_due


def breaker() -> tuple[Breaker, Instant]:
    clock = Instant()
    return Breaker(RULES, clock=clock), clock


def test_it_opens_with_the_third_call_without_an_answer_within_the_window() -> None:
    one, clock = breaker()
    assert [one.failed("cut"), one.failed("cut")] == [False, False]
    clock.now += 10.1
    assert [one.failed("cut"), one.failed("cut"), one.failed("hangs")] == [False, False, True]
    assert (one.state, one.admits, one.why) == (BreakerState.OPEN, False, "hangs")
    assert one.opened == clock.now


def test_it_is_looked_at_after_each_pause_and_half_opens_with_an_answer() -> None:
    one, clock = breaker()
    assert one.trip("away")
    assert not look_due(one)
    clock.now += 5
    assert look_due(one)
    one.failed("still away")
    assert not look_due(one)
    clock.now += 5
    one.looked()
    assert (str(one.state), one.admits) == ("half-open", True)


def test_half_open_the_first_call_decides() -> None:
    one, clock = breaker()
    one.trip("away")
    clock.now += 5
    one.looked()
    again = one.failed("again")
    assert (again, str(one.state)) == (False, "open")  # it was not closed: nothing new
    assert one.opened == 1000.0  # the outage is the same one
    one.looked()
    assert one.answered()
    assert (str(one.state), one.why) == ("closed", "")


def test_an_answer_to_a_call_of_before_closes_nothing() -> None:
    one, _ = breaker()
    one.trip("away")
    assert not one.answered()
    assert one.state is BreakerState.OPEN


def test_once_closed_it_counts_anew() -> None:
    one, _ = breaker()
    for _ in range(3):
        one.failed("cut")
    one.looked()
    one.answered()
    assert [one.failed("cut"), one.failed("cut"), one.failed("cut")] == [False, False, True]


@given(st.lists(st.sampled_from(["failed", "answered", "looked", "trip", "wait"]), max_size=60))
def test_whatever_happens_it_opens_for_a_reason_and_closes_by_an_answer(acts: list[str]) -> None:
    one, clock = breaker()
    for act in acts:
        before, changes = one.state, one.changes
        if act == "wait":
            clock.now += 3
        elif act in {"failed", "trip"}:
            getattr(one, act)("why")
        else:
            getattr(one, act)()
        after = one.state
        assert (after is before) == (one.changes == changes)
        if after is not before:
            assert (before, after) in {
                (BreakerState.CLOSED, BreakerState.OPEN),
                (BreakerState.OPEN, BreakerState.HALF_OPEN),
                (BreakerState.HALF_OPEN, BreakerState.CLOSED),
                (BreakerState.HALF_OPEN, BreakerState.OPEN),
            }
            assert one.since == clock.now
        assert after is BreakerState.CLOSED or one.why
        if after is not BreakerState.OPEN:
            assert not one.look_due
