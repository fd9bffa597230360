"""Retry policies: the curve, who is retried, and what a policy refuses to be."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.retry import GiveUp, Retry, RetryAfter

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed


class Fixed(Random):
    """Chance that always falls the same way."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


LONGEST, SHORTEST = Fixed(0.0), Fixed(math.nextafter(1.0, 0.0))


def waits(policy: Retry, count: int, rng: Random = LONGEST) -> list[float]:
    return [policy.delay(attempt, rng).total_seconds() for attempt in range(1, count + 1)]


def test_the_defaults_are_those_the_documentation_gives() -> None:
    policy = Retry()
    assert policy.max_attempts == 10
    assert waits(policy, 9) == [2, 8, 32, 128, 512, 600, 600, 600, 600]
    assert sum(waits(policy, 9)) == pytest.approx(51 * 60, rel=0.01)
    assert sum(waits(policy, 9, SHORTEST)) == pytest.approx(25.5 * 60, rel=0.01)


@pytest.mark.parametrize(("jitter", "shortest"), [(0, 10), (0.25, 7.5), (0.5, 5), (1, 0)])
def test_jitter_is_the_share_of_the_wait_left_to_chance(jitter: float, shortest: float) -> None:
    policy = Retry(initial=10, jitter=jitter)
    assert policy.delay(1, LONGEST) == timedelta(seconds=10)
    assert policy.delay(1, SHORTEST).total_seconds() == pytest.approx(shortest, abs=1e-6)


policies = st.builds(
    lambda initial, extra, factor, jitter: Retry(
        initial=initial, maximum=initial + extra, factor=factor, jitter=jitter
    ),
    st.one_of(st.just(0.0), st.floats(0, 86_400)),
    st.floats(0, 86_400),
    st.floats(1, 1e308),
    st.floats(0, 1),
)


@UNTIMED
@given(policies, st.one_of(st.integers(1, 60), st.integers(1, 10_000), st.integers(1, 10**30)), st.randoms())
def test_every_wait_is_within_its_bounds(policy: Retry, attempt: int, rng: Random) -> None:
    highest = policy.delay(attempt, LONGEST)
    assert timedelta(0) <= policy.delay(attempt, rng) <= highest
    assert highest <= timedelta(seconds=float(policy.maximum))  # type: ignore[arg-type]
    assert policy.delay(attempt + 1, LONGEST) >= highest
    if attempt == 1:
        assert highest == timedelta(seconds=float(policy.initial))  # type: ignore[arg-type]


@pytest.mark.parametrize("attempt", [1_024, 10_000, 10**400])
def test_attempts_without_number_do_not_overflow(attempt: int) -> None:
    assert Retry(max_attempts=10**500, jitter=0).delay(attempt, LONGEST) == timedelta(minutes=10)
    assert Retry(initial=0).delay(attempt, LONGEST) == timedelta(0)
    assert Retry(initial=3, factor=1, jitter=0).delay(attempt, LONGEST) == timedelta(seconds=3)
    assert Retry(initial=5e-324, factor=1e308, jitter=0).delay(attempt, LONGEST) == timedelta(minutes=10)


def test_the_same_seed_gives_the_same_waits_and_another_seed_others() -> None:
    policy = Retry(jitter=1)
    one, same, other = (
        [policy.delay(n, rng) for n in range(1, 9)] for rng in (Random(1), Random(1), Random(2))
    )
    assert one == same
    assert one != other


def test_explicit_delays_are_exact_and_the_last_repeats() -> None:
    policy = Retry(delays=[1, timedelta(minutes=1), 86_400], jitter=1, maximum=10)
    assert waits(policy, 5, SHORTEST) == [1, 60, 86_400, 86_400, 86_400]


def test_after_sets_the_attempts_to_match() -> None:
    policy = Retry.after(1, timedelta(minutes=1))
    assert policy.decide(KeyError(), 1, LONGEST) == RetryAfter(timedelta(seconds=1))
    assert policy.decide(KeyError(), 2, LONGEST) == RetryAfter(timedelta(seconds=60))
    assert policy.decide(KeyError(), 3, LONGEST) == GiveUp("attempt 3 of 3 failed with KeyError")


def test_never_gives_one_attempt() -> None:
    assert Retry.never().decide(OSError(), 1, LONGEST) == GiveUp("attempt 1 of 1 failed with OSError")


@UNTIMED
@given(st.integers(1, 20), st.integers(1, 40))
def test_attempts_are_counted_with_the_first(max_attempts: int, attempt: int) -> None:
    decision = Retry(max_attempts=max_attempts).decide(OSError(), attempt, LONGEST)
    assert isinstance(decision, RetryAfter) == (attempt < max_attempts)


@pytest.mark.parametrize(
    ("policy", "exception", "retried"),
    [
        (Retry(), ValueError(), True),
        (Retry(), ExceptionGroup("several", [ValueError()]), True),
        (Retry(), SystemExit(), False),
        (Retry(), KeyboardInterrupt(), False),
        (Retry(retry_on=(BaseException,)), SystemExit(), True),
        (Retry(retry_on=(OSError,)), TimeoutError(), True),
        (Retry(retry_on=(OSError,)), ValueError(), False),
        (Retry(retry_on=()), ValueError(), False),
        (Retry(give_up_on=(LookupError,)), KeyError(), False),
        (Retry(give_up_on=(LookupError,)), ValueError(), True),
        (Retry(give_up_on=(OSError,), retry_on=(TimeoutError,)), TimeoutError(), False),
        (Retry(give_up_on=(ValueError,)), ExceptionGroup("several", [ValueError()]), True),
        (Retry(rules={ValueError: Retry.never()}), ValueError(), False),
        (Retry(rules={ValueError: Retry.never()}), KeyError(), True),
        (Retry(retry_on=(), rules={OSError: Retry()}), TimeoutError(), True),
        (Retry(give_up_on=(OSError,), rules={TimeoutError: Retry()}), TimeoutError(), True),
        (Retry(rules={OSError: Retry.never(), TimeoutError: Retry()}), TimeoutError(), True),
        (Retry(rules={TimeoutError: Retry(), OSError: Retry.never()}), ConnectionError(), False),
        (Retry(rules={SystemExit: Retry()}), SystemExit(), True),
    ],
)
def test_who_is_retried(policy: Retry, exception: BaseException, retried: bool) -> None:
    assert isinstance(policy.decide(exception, 1, LONGEST), RetryAfter) == retried


def test_a_rule_brings_its_own_waits_and_attempts() -> None:
    policy = Retry(max_attempts=2, rules={TimeoutError: Retry(max_attempts=3, initial=30, jitter=0)})
    assert policy.decide(TimeoutError(), 1, LONGEST) == RetryAfter(timedelta(seconds=30))
    assert policy.decide(TimeoutError(), 2, LONGEST) == RetryAfter(timedelta(seconds=120))
    assert policy.decide(TimeoutError(), 3, LONGEST) == GiveUp("attempt 3 of 3 failed with TimeoutError")
    assert policy.decide(OSError(), 2, LONGEST) == GiveUp("attempt 2 of 2 failed with OSError")


def test_the_reason_tells_why_and_never_what_the_exception_said() -> None:
    policy = Retry(max_attempts=1, retry_on=(ValueError,), give_up_on=(UnicodeError,))
    for exception in (ValueError("password"), UnicodeError("password"), KeyError("password")):
        decision = policy.decide(exception, 1, LONGEST)
        assert isinstance(decision, GiveUp)
        assert "password" not in decision.reason
        assert type(exception).__name__ in decision.reason


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_attempts": 0}, "max_attempts must be"),
        ({"max_attempts": True}, "max_attempts must be"),
        ({"max_attempts": 2.0}, "max_attempts must be"),
        ({"initial": -1}, "initial must be"),
        ({"initial": math.nan}, "initial must be"),
        ({"initial": "soon"}, "initial must be"),
        ({"initial": 601}, r"initial must be no longer than maximum \(600 s\)"),
        ({"initial": timedelta(seconds=-1)}, "initial must be"),
        ({"maximum": math.inf}, "maximum must be"),
        ({"maximum": timedelta(days=366)}, "maximum must be"),
        ({"factor": 0.5}, "factor must be"),
        ({"factor": math.nan}, "factor must be"),
        ({"factor": math.inf}, "factor must be"),
        ({"jitter": -0.1}, "jitter must be"),
        ({"jitter": 1.1}, "jitter must be"),
        ({"jitter": math.nan}, "jitter must be"),
        ({"delays": []}, "delays must be"),
        ({"delays": [1, -1]}, r"delays\[1\] must be"),
        ({"retry_on": ValueError}, "retry_on must be"),
        ({"retry_on": ("ValueError",)}, "retry_on must be"),
        ({"give_up_on": (int,)}, "give_up_on must be"),
        ({"give_up_on": (ValueError(),)}, "give_up_on must be"),
        ({"rules": {int: Retry()}}, "rules must be"),
        ({"rules": {OSError: Retry(give_up_on=(TimeoutError,))}}, r"rules\[OSError\] must be"),
        ({"rules": {OSError: Retry(retry_on=())}}, r"rules\[OSError\] must be"),
        ({"rules": {OSError: Retry(rules={TimeoutError: Retry()})}}, r"rules\[OSError\] must be"),
    ],
)
def test_what_a_policy_cannot_be_is_refused_by_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=f"Retry: {named}"):
        Retry(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_start_from_one(attempt: int) -> None:
    for policy in (Retry(), Retry.after(1)):
        with pytest.raises(ValueError, match="attempt must be 1 or more"):
            policy.delay(attempt, LONGEST)
        with pytest.raises(ValueError, match="attempt must be 1 or more"):
            policy.decide(OSError(), attempt, LONGEST)


def test_policies_are_values() -> None:
    rules: dict[type[BaseException], Retry] = {OSError: Retry.never()}
    delays = [1.0, 2.0]
    policy = Retry(initial=timedelta(seconds=5), rules=rules, delays=delays)
    assert policy == Retry(initial=5, rules={OSError: Retry.never()}, delays=(1, 2))
    assert hash(policy) == hash(Retry(initial=5, rules={OSError: Retry.never()}, delays=(1, 2)))
    assert pickle.loads(pickle.dumps(policy)) == copy.deepcopy(policy) == policy  # noqa: S301 - our own bytes
    rules.clear()
    delays.clear()
    assert policy == Retry(initial=5, rules={OSError: Retry.never()}, delays=(1, 2))
