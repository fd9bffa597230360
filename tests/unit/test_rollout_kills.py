"""Roll-outs under everything at once: controllers killed between any two writes, people, lost figures, odd clocks."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headway.routing.rollout.asking import RolloutError, abort, pause, promote, resume
from headway.routing.rollout.deciding import Look, decide
from headway.routing.rollout.plan import Plan
from headway.routing.rollout.rollout import (
    Act,
    Decision,
    Rollout,
    Status,
    decode_rollout,
    encode_rollout,
    start,
)
from headway.routing.routes import Route, route_of
from tests.unit.rollout_world import MINUTE, World

if TYPE_CHECKING:
    from collections.abc import Callable

PLAN = Plan(queue="email", to="push", steps=(10, 50, 100), every_ms=2 * MINUTE, delay_ms=MINUTE, min_jobs=20, max_error_rate=0.1)  # fmt: skip


class ControllersAndPeople(RuleBasedStateMachine):
    """The stored roll-out and the stored route are two documents; a controller may be killed between their writes."""

    @initialize(seed=st.integers(0, 1000), errors=st.sampled_from([0.0, 0.05, 0.6]))
    def begin(self, seed: int, errors: float) -> None:
        self.world = World(
            Random(seed), errors=(0.0, errors), route=route_of("email", {"east": 40, "main": 60})
        )
        self.before = self.world.route
        self.stored = encode_rollout(start(PLAN, self.before, self.world.now_ms))
        self.by_hand = False  # whether the last who set the route were people
        self.percents = [0]

    def rollout(self) -> Rollout:
        return decode_rollout(self.stored)

    def write(self, rollout: Rollout, decision: Decision, written: int) -> None:
        """Write the state, then the route; a controller that is killed writes none, or the first only."""
        if written >= 1:
            self.stored = encode_rollout(rollout)
        if written >= 2 and decision.route:
            self.world.route = Route("email", decision.route, rollout.by)
            self.by_hand = False
            self.percents.append(decision.percent)

    @rule(written=st.sampled_from([2, 2, 2, 1, 0]), readable=st.sampled_from([True, True, True, False]), skew=st.sampled_from([0, 0, -5 * MINUTE, 9 * MINUTE]))  # fmt: skip
    def look(self, written: int, readable: bool, skew: int) -> None:
        self.world.pass_time()
        seen = self.world.look()
        look = seen if readable else Look(seen.route, None)
        rollout, decision = decide(self.rollout(), look, self.world.now_ms + skew)
        assert (rollout, decision) == decide(self.rollout(), look, self.world.now_ms + skew)
        self.write(rollout, decision, written)

    @rule(percent=st.integers(0, 100))
    def change_by_hand(self, percent: int) -> None:
        self.world.route = self.world.route.changed({"main": 100 - percent, "push": percent})
        self.by_hand = True

    @rule(ask=st.sampled_from(["pause", "resume", "promote"]), written=st.sampled_from([2, 1, 0]))
    def ask(self, ask: str, written: int) -> None:
        rollout, now, route = self.rollout(), self.world.now_ms, self.world.route
        asks: dict[str, Callable[[], tuple[Rollout, Decision]]] = {
            "pause": lambda: pause(rollout, now),
            "resume": lambda: resume(rollout, route, now),
            "promote": lambda: promote(rollout, now),
        }
        try:
            self.write(*asks[ask](), written)
        except RolloutError:
            return

    @precondition(lambda self: self.rollout().status is not Status.COMPLETED)
    @rule()
    def abort_it(self) -> None:
        if self.rollout().status.over:
            return
        self.write(*abort(self.rollout(), self.world.route, self.world.now_ms), 2)
        assert self.world.route == self.before

    @invariant()
    def the_route_is_one_that_somebody_meant(self) -> None:
        if hasattr(self, "stored") and not self.by_hand:
            assert self.world.route.weights.get("push", 0) in {0, *PLAN.steps}

    @invariant()
    def what_is_over_sets_no_route_but_the_one_that_is_owed(self) -> None:
        if not hasattr(self, "stored") or not self.rollout().status.over:
            return
        _, decision = decide(self.rollout(), self.world.look(), self.world.now_ms)
        if decision.route:
            assert (decision.act, decision.route) == (Act.ROLL_BACK, self.before.runs)

    def teardown(self) -> None:
        """Left alone, with nobody killed, it comes to an end, or waits for people, or for more jobs than come."""
        if not hasattr(self, "stored"):
            return
        for _ in range(120):
            self.look(2, readable=True, skew=0)
        rollout = self.rollout()
        if rollout.status is Status.PAUSED:
            rollout, decision = resume(rollout, self.world.route, self.world.now_ms)
            self.write(rollout, decision, 2)
            for _ in range(120):
                self.look(2, readable=True, skew=0)
            rollout = self.rollout()
        assert rollout.status.over
        if not self.by_hand:
            ended = route_of("email", {"push": 100}) if rollout.status.completed else self.before
            assert self.world.route == ended


TestControllersAndPeople = ControllersAndPeople.TestCase
TestControllersAndPeople.settings = settings(
    deadline=None, max_examples=40, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
