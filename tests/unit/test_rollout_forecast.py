"""What a dry run tells: how long steps take, which limits are broken already, how soon a fault would be seen."""

from __future__ import annotations

from random import Random

import pytest

from headway.figures.histogram import histogram
from headway.figures.values import Counts, Row, figures
from headway.routing.rollout.forecast import StepForecast, broken_before, jobs_to_see, steps_forecast
from headway.routing.rollout.plan import Plan
from headway.routing.rollout.rollout import Status
from headway.routing.rollout.sides import Sides, sides_of
from tests.unit.rollout_world import MINUTE, World

PLAN = Plan(queue="email", to="push", steps=(1, 10, 100), every_ms=10 * MINUTE, min_jobs=200, max_error_rate=0.01, max_p95_ms=5000, max_queue_latency_ms=30_000)  # fmt: skip


def test_a_step_takes_its_time_or_that_of_its_jobs() -> None:
    before = Counts(succeeded=990, failed=10)  # in ten minutes: one a minute at 1 percent
    assert steps_forecast(PLAN, before, 10 * MINUTE) == [
        StepForecast(1, 200 * MINUTE), StepForecast(10, 20 * MINUTE), StepForecast(100, 10 * MINUTE),
    ]  # fmt: skip
    assert steps_forecast(PLAN, Counts(), 10 * MINUTE)[0] == StepForecast(1, None)
    standing = Plan(queue="email", to="push", steps=(50, 100), every_ms=MINUTE, stand_ms=MINUTE, min_jobs=1)
    assert [each.takes_ms for each in steps_forecast(standing, before, MINUTE)] == [MINUTE, 2 * MINUTE]


def test_limits_that_are_broken_already_are_named() -> None:
    fine = Counts(succeeded=995, failed=5, duration=histogram([100.0] * 100), latency=histogram([5.0] * 100))
    assert broken_before(PLAN, fine) == []
    assert broken_before(PLAN, Counts()) == []
    bad = Counts(succeeded=98, failed=2, duration=histogram([100.0] * 90 + [9000.0] * 10), latency=histogram([60_000.0] * 100))  # fmt: skip
    assert broken_before(PLAN, bad) == [
        "max_error_rate is 1.00%, but 2.00% of 100 attempts fail already",
        "max_p95 is 5000 ms, but the p95 of 100 attempts is about 8933 ms already",
        "max_queue_latency is 30000 ms, but the p95 of 100 attempts is about 60097 ms already",
    ]
    assert broken_before(Plan(queue="email", to="push"), bad) == []


def test_how_many_jobs_it_takes_to_see_a_fault() -> None:
    """As many as simulated roll-outs take, within a factor of two."""
    expected = jobs_to_see(PLAN, 0.1)
    assert expected is not None
    taken: list[int] = []
    for seed in range(20):
        there = World(Random(seed), jobs=100, errors=(0.01, 0.1), look_ms=10_000)
        rollout = there.begin(Plan(queue="email", to="push", steps=(10, 50, 100), every_ms=600 * MINUTE, delay_ms=0, max_error_rate=0.01, max_p95_ms=5000, max_queue_latency_ms=30_000))  # fmt: skip
        while not rollout.status.over:
            rollout, _ = there.step(rollout)
        assert rollout.status is Status.ROLLED_BACK
        taken.append(there.sides.new.ended)
    assert expected / 2 <= sorted(taken)[10] <= expected * 2
    assert jobs_to_see(PLAN, 0.01) is None
    assert jobs_to_see(Plan(queue="email", to="push"), 0.5) is None


@pytest.mark.parametrize(("since", "new", "other"), [(0, 3, 6), (2, 2, 4), (3, 0, 0)])
def test_the_sides_of_a_queue(since: int, new: int, other: int) -> None:
    rows = [
        Row(minute, queue, "task", carrier, Counts(succeeded=minute * weight))
        for minute in (1, 2)
        for queue in ("email", "other")
        for carrier, weight in (("push", 1), ("main", 1), ("west", 1))
    ]
    sides = sides_of(figures(rows), PLAN, since)
    assert sides == Sides(Counts(succeeded=new), Counts(succeeded=other))
