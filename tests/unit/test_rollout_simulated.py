"""Roll-outs by the thousand on a fake clock: how many healthy ones are rolled back, and how many of the others are not."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest

from headway.figures.values import Counts
from headway.routing.rollout.plan import Plan
from headway.routing.rollout.rollout import Status
from headway.routing.rollout.sides import Sides
from tests.unit.rollout_world import MINUTE, THREE_TIMES, World, binomial, durations

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]  # ten seconds of CPU; a busy machine with coverage takes more
SIMULATED = int(os.environ.get("HEADWAY_SIMULATED", "1000"))
"""Roll-outs of each kind that are simulated."""
PLAN = Plan(
    queue="email",
    to="push",
    steps=(5, 25, 50, 100),
    every_ms=MINUTE,
    delay_ms=MINUTE,
    max_error_rate=0.02,
    max_p95_ms=5000,
    max_queue_latency_ms=30_000,
    max_backlog=500,
    min_jobs=50,
)


def simulated(
    plan: Plan, errors: tuple[float, float] = (0.01, 0.01), slower: int = 0, count: int = SIMULATED
) -> list[int | None]:
    """Run many roll-outs; of each, return after how many jobs of the new side it was rolled back, None if it was not."""
    found: list[int | None] = []
    for seed in range(count):
        there = World(Random(seed), jobs=500, errors=errors, slower=slower)
        rollout, _ = there.run(plan, looks=40)
        found.append(there.sides.new.ended if rollout.status is Status.ROLLED_BACK else None)
    return found


def told(what: str, found: list[int | None]) -> int:
    """Print how many were rolled back, and after how many jobs."""
    back = sorted(jobs for jobs in found if jobs is not None)
    median = f", the median after {back[len(back) // 2]} jobs of the new side" if back else ""
    print(f"\n{what}: {len(back)} of {len(found)} rolled back{median}")  # noqa: T201 - the figure that is asked for
    return len(back)


FEW = SIMULATED // 4


def test_of_many_healthy_roll_outs_no_more_are_rolled_back_than_stated() -> None:
    assert told("healthy, errors 1 % on both sides", simulated(PLAN)) <= 0.01 * SIMULATED


def test_so_at_the_very_limit_where_a_false_alarm_is_nearest() -> None:
    at_the_limit = msgspec.structs.replace(PLAN, max_error_rate=0.01, false_alarm=0.05)
    assert told("at the limit", simulated(at_the_limit, count=FEW)) <= 0.05 * FEW


def test_of_many_roll_outs_with_ten_times_the_errors_at_least_99_percent_are_rolled_back() -> None:
    assert told("errors 10 % on the new side", simulated(PLAN, (0.01, 0.1))) >= 0.99 * SIMULATED


def test_so_by_the_other_side_alone() -> None:
    bare = Plan(queue="email", to="push", steps=(5, 25, 50, 100), every_ms=MINUTE, delay_ms=MINUTE, min_jobs=50)  # fmt: skip
    assert told("errors 10 %, without limits", simulated(bare, (0.01, 0.1), count=FEW)) >= 0.99 * FEW


def test_of_many_roll_outs_three_times_as_slow_at_least_99_percent_are_rolled_back() -> None:
    assert told("three times as slow", simulated(PLAN, slower=THREE_TIMES)) >= 0.99 * SIMULATED


@dataclass
class Poisoned(World):
    """One job in a hundred fails at all its ten attempts, two minutes apart, on either side: failures that come in rows."""

    again: Counter[tuple[int, int]] = field(default_factory=Counter[tuple[int, int]])

    def pass_time(self) -> None:
        """Let jobs come, and earlier ones be tried again."""
        self.now_ms += self.look_ms
        minute = self.now_ms // MINUTE
        moved = binomial(self.rng, self.jobs, self.route.weights.get("push", 0) / 100)
        new, other = (self._tried(minute, side, jobs) for side, jobs in enumerate((moved, self.jobs - moved)))
        self.sides = Sides(self.sides.new.merged(new), self.sides.other.merged(other))

    def _tried(self, minute: int, side: int, jobs: int) -> Counts:
        bad = binomial(self.rng, jobs, 0.01)
        for attempt in range(1, 10):
            self.again[minute + 2 * attempt, side] += bad
        failed = bad + self.again.pop((minute, side), 0)
        tried = durations(self.rng, jobs - bad + failed, 0)
        return Counts(started=tried.total, succeeded=jobs - bad, failed=failed, duration=tried)


def test_failures_of_one_job_in_a_row_are_no_reason_to_go_back() -> None:
    """They are not independent, as the test has it; the margin of the comparison takes that up."""
    bare = Plan(queue="email", to="push", steps=(5, 25, 50, 100), every_ms=10 * MINUTE, delay_ms=MINUTE, min_jobs=50)  # fmt: skip
    back = 0
    for seed in range(FEW // 4):
        rollout, _ = Poisoned(Random(seed), jobs=500).run(bare, looks=60)
        back += rollout.status is Status.ROLLED_BACK
    assert back <= 0.05 * (FEW // 4)
