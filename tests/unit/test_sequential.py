"""Sequential tests: no claim that is true is refused more often than stated, whatever is looked at and when."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headway.routing.sequential import (
    ODDS,
    Claim,
    Evidence,
    Side,
    against_limit,
    against_other,
    limit_growth,
    more_jobs,
    other_growth,
    staked,
)

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed
shares = st.floats(0, 1)
small = st.integers(1, 8)


def chances(jobs: int, share: float) -> list[float]:
    """Return the probability of each number of bad jobs."""
    return [math.comb(jobs, bad) * share**bad * (1 - share) ** (jobs - bad) for bad in range(jobs + 1)]


@UNTIMED
@given(small, st.floats(0.0001, 0.99), shares)
def test_while_the_claim_of_a_limit_is_true_no_bet_gains_on_average(
    jobs: int, limit: float, part: float
) -> None:
    """Exactly, over all outcomes: from this and Ville's inequality the rate of false alarms follows."""
    mean = [0.0] * len(ODDS)
    for bad, chance in enumerate(chances(jobs, limit * part)):
        for index, growth in enumerate(limit_growth(Side(jobs, bad), limit)):
            mean[index] += chance * math.exp(growth)
    assert max(mean) <= 1 + 1e-9


@UNTIMED
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    shares,
    st.one_of(st.just(1.0), shares),  # of the worst that the claim allows
    st.floats(0, 1),
    st.sampled_from([1.0, 1.5, 3.0, 10.0]),
    st.sampled_from([0.0, 0.005, 0.2]),
)
@example(12, 3, 0.3, 1.0, 0.02, 3.0, 0.0)
def test_while_the_claim_of_a_comparison_is_true_no_bet_gains_on_average(
    jobs: int, others: int, share: float, part: float, expected: float, times: float, points: float
) -> None:
    """Whatever the other side's share is, and however wrong what was expected of it."""
    claim = Claim(expected, times, points)
    worst = min(1.0, claim.bound(share)) * part
    mean = [0.0] * len(ODDS)
    for bad, chance in enumerate(chances(jobs, worst)):
        for bad_others, chance_others in enumerate(chances(others, share)):
            growths = other_growth(Side(jobs, bad), Side(others, bad_others), claim)
            for index, growth in enumerate(growths):
                mean[index] += chance * chance_others * math.exp(growth)
    assert max(mean) <= 1 + 1e-9


@UNTIMED
@given(st.lists(shares, max_size=50))
def test_stakes_come_from_the_reserve(parts: list[float]) -> None:
    evidence = Evidence()
    for part in parts:
        evidence = staked(evidence, part)
    assert evidence.capital == pytest.approx(1)
    assert evidence.reserve >= 0
    assert min(evidence.stakes) >= 0


def drawn(rng: Random, jobs: int, share: float) -> Side:
    return Side(jobs, sum(rng.random() < share for _ in range(jobs)))


def test_with_a_look_after_every_few_jobs_false_alarms_stay_below_the_stated_rate() -> None:
    """At the very limit, where most alarms are: at 1 in 20, of 400 runs 20 are expected at most, and 40 never seen."""
    rng, alarms = Random(11), 0
    for _ in range(400):
        evidence = staked(Evidence(), 0.5)
        for _ in range(60):
            evidence = against_limit(staked(evidence, 0.02), drawn(rng, 5, 0.1), 0.1)
            if evidence.capital >= 20:
                alarms += 1
                break
    assert 0 < alarms <= 40


def jobs_until_refused(rng: Random, share: float, *, healthy_looks: int = 0) -> int:
    """Count jobs of the bad time, at 20 jobs a look, until a limit of 1 % is refused at 1 in 500."""
    evidence, jobs = staked(Evidence(), 0.2), 0
    for look in range(1, 1000):
        bad_time = look > healthy_looks
        evidence = against_limit(
            staked(evidence, 1 / (50 + look)), drawn(rng, 20, share if bad_time else 0.005), 0.01
        )
        jobs += 20 * bad_time
        if evidence.capital >= 500:
            return jobs
    return jobs


def test_a_clear_fault_is_seen_within_few_jobs_also_when_it_comes_late() -> None:
    rng = Random(12)
    early = sorted(jobs_until_refused(rng, 0.1) for _ in range(40))
    late = sorted(jobs_until_refused(rng, 0.1, healthy_looks=100) for _ in range(40))
    assert early[20] <= 120
    assert late[20] <= 200  # 2,000 healthy jobs before it cost little
    assert late[-1] <= 600


def test_what_troubles_both_sides_is_no_evidence_and_what_troubles_one_is() -> None:
    rng = Random(13)
    for share, refused in ((0.01, False), (0.10, True)):
        evidence, seen, most = staked(Evidence(), 0.2), Side(100, 1), 0.0
        for look in range(1, 60):
            both = 0.3 if 20 <= look < 40 else 0.01  # a dependency is down for a third of the time
            new, other = drawn(rng, 30, max(share, both)), drawn(rng, 60, both)
            claim = Claim(seen.share, 1.5, 0.005)
            evidence = against_other(staked(evidence, 1 / (50 + look)), new, other, claim)
            seen = seen.merged(other)
            most = max(most, evidence.capital)
        assert (most >= 500) is refused


def test_a_look_without_jobs_changes_nothing() -> None:
    evidence = staked(Evidence(), 0.5)
    assert against_limit(evidence, Side(0, 0), 0.01) == evidence
    assert against_other(evidence, Side(5, 5), Side(0, 0), Claim(0.01)) == evidence
    assert against_other(evidence, Side(0, 0), Side(5, 0), Claim(0.01)) == evidence


def test_capital_never_leaves_what_a_float_can_hold() -> None:
    evidence = staked(Evidence(), 0.5)
    for _ in range(5):
        evidence = against_limit(evidence, Side(1_000_000, 1_000_000), 0.01)
    assert evidence.capital < math.inf
    ruined = against_limit(staked(Evidence(), 0.5), Side(10_000_000, 0), 0.5)
    assert ruined.capital == 0.5


def test_how_many_more_jobs_it_takes() -> None:
    evidence = staked(Evidence(), 0.2)
    seen = Side(50, 2)
    after = against_limit(evidence, seen, 0.01)
    more = more_jobs(after, 500, limit_growth(seen, 0.01), seen.jobs)
    assert 100 <= more <= 1000
    for _ in range(math.ceil(more / 50) + 4):  # if they go on like that
        after = against_limit(after, seen, 0.01)
    assert after.capital >= 500
    assert (
        more_jobs(evidence, 500, limit_growth(Side(300, 3), 0.01), 300) == 300
    )  # too close to call: as many again
    assert more_jobs(evidence, 500, limit_growth(Side(0, 0), 0.01), 0) == 1
