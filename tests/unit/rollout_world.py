"""A world for roll-outs on a fake clock: jobs that fail and take time on two sides, as often and as long as a test says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headway.figures.histogram import Histogram
from headway.figures.values import Counts
from headway.routing.rollout.deciding import Look, Measured, decide
from headway.routing.rollout.rollout import Act, Decision, Rollout, start
from headway.routing.rollout.sides import Sides
from headway.routing.routes import Route, route_of

if TYPE_CHECKING:
    from random import Random

    from headway.routing.rollout.plan import Plan

USUAL = ((26, 0.8), (29, 0.13), (32, 0.05), (36, 0.015), (40, 0.005))
"""Shares of durations by bucket: most around 80 ms, the 95th percentile around 200 ms, one in 200 above 800 ms."""
THREE_TIMES = 6
"""By how many buckets durations are higher that are almost three times as long (2.8 times)."""
MINUTE = 60_000


def binomial(rng: Random, jobs: int, share: float) -> int:
    """Draw how many of so many jobs are bad: by the gaps between them, so that few bad ones cost little."""
    if share <= 0 or jobs <= 0:
        return 0
    if share > 0.5:
        return jobs - binomial(rng, jobs, 1 - share)
    scale, bad, at = math.log1p(-share), 0, 0
    while True:
        at += int(math.log(1 - rng.random()) / scale) + 1
        if at > jobs:
            return bad
        bad += 1


def durations(rng: Random, jobs: int, slower: int) -> Histogram:
    """Draw durations, so many buckets above the usual ones."""
    counts: dict[int, int] = {}
    rest = 1.0
    for bucket, share in reversed(USUAL):
        drawn = jobs if rest <= share else binomial(rng, jobs, share / rest)
        if drawn:
            counts[bucket + slower] = drawn
        jobs -= drawn
        rest -= share
    return Histogram(tuple(sorted(counts.items())))


@dataclass
class World:
    """Two carriers, `main` and `push`, to which jobs come in each look's time by the route in force."""

    rng: Random
    jobs: int = 200  # a look
    errors: tuple[float, float] = (0.01, 0.01)  # main, push
    slower: int = 0  # buckets that push is above main
    look_ms: int = MINUTE
    now_ms: int = 1_800_000_000_000
    route: Route = field(default_factory=lambda: route_of("email", {"main": 100}))
    sides: Sides = field(default_factory=Sides)
    backlog: int | None = None
    oldest_ms: int | None = None

    def pass_time(self) -> None:
        """Let the jobs of one look come, be placed by the route and end."""
        self.now_ms += self.look_ms
        percent = self.route.weights.get("push", 0)
        moved = binomial(self.rng, self.jobs, percent / 100)
        new = self._ended(moved, self.errors[1], self.slower)
        other = self._ended(self.jobs - moved, self.errors[0], 0)
        self.sides = Sides(self.sides.new.merged(new), self.sides.other.merged(other))

    def look(self) -> Look:
        """See what a controller sees."""
        return Look(self.route, Measured(self.sides, self.backlog, self.oldest_ms))

    def step(self, rollout: Rollout) -> tuple[Rollout, Decision]:
        """Let time pass, look, decide, and set the route that was decided on."""
        self.pass_time()
        rollout, decision = decide(rollout, self.look(), self.now_ms)
        self.obey(decision)
        return rollout, decision

    def obey(self, decision: Decision) -> None:
        if decision.route:
            self.route = Route(self.route.queue, decision.route, self.route.by)

    def begin(self, plan: Plan) -> Rollout:
        """Start a roll-out and set its first step."""
        rollout = start(plan, self.route, self.now_ms)
        self.obey(rollout.decision)
        return rollout

    def run(self, plan: Plan, looks: int = 1000) -> tuple[Rollout, list[Decision]]:
        """Run a roll-out until it is over; return it and its decisions, without the looks that held."""
        rollout = self.begin(plan)
        decisions = [rollout.decision]
        for _ in range(looks):
            rollout, decision = self.step(rollout)
            if decision.act is not Act.HOLD:
                decisions.append(decision)
            if rollout.status.over:
                break
        return rollout, decisions

    def _ended(self, jobs: int, share: float, slower: int) -> Counts:
        failed = binomial(self.rng, jobs, share)
        latency = Histogram(((10, jobs),)) if jobs else Histogram()
        took = durations(self.rng, jobs, slower)
        return Counts(enqueued=jobs, started=jobs, succeeded=jobs - failed, failed=failed, latency=latency, duration=took)  # fmt: skip
