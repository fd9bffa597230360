"""Roll-outs on a fake clock: when they advance, hold, pause and go back, and what they say of it."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.errors import CodecError
from headway.figures.histogram import Histogram
from headway.figures.values import Counts
from headway.routing.rollout.asking import RolloutError, abort, pause, promote, resume
from headway.routing.rollout.deciding import Look, Measured, decide, notable
from headway.routing.rollout.judgement import Guard, Verdict
from headway.routing.rollout.plan import Plan
from headway.routing.rollout.rollout import (
    Act,
    Decision,
    Reason,
    Rollout,
    Status,
    decode_rollout,
    encode_rollout,
    start,
    stepped,
)
from headway.routing.rollout.sides import Sides
from headway.routing.routes import Route, moved, route_of
from tests.unit.rollout_world import MINUTE, THREE_TIMES, World

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed
PLAN = Plan(
    queue="email",
    to="push",
    steps=(5, 25, 100),
    every_ms=3 * MINUTE,
    delay_ms=MINUTE,
    max_error_rate=0.05,
    max_p95_ms=5000,
    max_queue_latency_ms=30_000,
    max_backlog=500,
    min_jobs=30,
)


def changed(plan: Plan = PLAN, **fields: object) -> Plan:
    return msgspec.structs.replace(plan, **fields)


def world(**fields: object) -> World:
    return World(Random(5), **fields)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def stepped_to(there: World, plan: Plan = PLAN, percent: int = 25) -> Rollout:
    """Run a healthy roll-out until this percentage is in force."""
    rollout = there.begin(plan)
    while rollout.percent < percent or rollout.unconfirmed:
        rollout, _ = there.step(rollout)
    return rollout


def test_a_healthy_roll_out_goes_up_step_by_step_and_completes() -> None:
    there = world()
    rollout, decisions = there.run(PLAN)
    assert [(each.act, each.percent) for each in decisions] == [
        (Act.ADVANCE, 5), (Act.ADVANCE, 25), (Act.ADVANCE, 100), (Act.COMPLETE, 100),
    ]  # fmt: skip
    assert [each.reason for each in decisions] == [Reason.STARTED, *[Reason.PASSED] * 3]
    assert decisions[1].text == "email to push: 5 -> 25 %"
    assert rollout.status is Status.COMPLETED
    assert there.route == route_of("email", {"push": 100})
    for earlier, later in pairwise(decisions):
        assert later.at_ms - earlier.at_ms >= PLAN.every_ms
    assert {each.verdict for each in decisions[1].judgements} == {Verdict.PASS}
    assert Guard.ERROR_RATE_OF_OTHER in {each.guard for each in decisions[1].judgements}
    # With all jobs on the new side there is nothing to compare it with.
    assert {each.guard for each in decisions[3].judgements} == {Guard.ERROR_RATE, Guard.P95, Guard.QUEUE_LATENCY, Guard.STALLED}  # fmt: skip


def test_errors_roll_it_back_to_the_route_of_before_and_say_which_figure_broke_which_limit() -> None:
    there = world(route=route_of("email", {"east": 30, "main": 70}))
    before = there.route
    rollout = stepped_to(there, percent=25)
    there.errors = (0.01, 0.5)
    decision = rollout.decision
    while not rollout.status.over:
        rollout, decision = there.step(rollout)
    assert rollout.status is Status.ROLLED_BACK
    assert (decision.act, decision.reason) == (Act.ROLL_BACK, Reason.BROKEN)
    assert decision.text.startswith("error rate ")
    assert ", limit 5.0 %: fail" in decision.text
    assert there.route == before
    rollout, decision = there.step(rollout)
    assert (decision.act, decision.reason, decision.route) == (Act.HOLD, Reason.OVER, ())


def test_a_side_that_fails_is_left_before_it_has_the_number_of_jobs_that_passing_takes() -> None:
    there = world(errors=(0.0, 1.0), jobs=60)
    rollout, decisions = there.run(changed(min_jobs=100_000))
    assert rollout.status is Status.ROLLED_BACK
    assert there.sides.new.ended < 30
    assert len(decisions) == 2


def test_too_few_jobs_hold_it_and_it_says_how_many_more_and_how_long() -> None:
    there = world(jobs=40)  # two a minute on the new side
    rollout = there.begin(changed(min_jobs=40))
    holds: list[Decision] = []
    while rollout.step == 0:
        rollout, decision = there.step(rollout)
        holds.append(decision)
    unclear = [each for each in holds if each.reason is Reason.INCONCLUSIVE]
    assert len(unclear) > 5
    first = unclear[0]
    assert 20 < first.needed < 40
    assert first.needed_ms == pytest.approx(first.needed / 2 * MINUTE, rel=0.8)
    assert f"about {first.needed} more jobs are needed, in about" in first.text
    assert [each.needed for each in unclear] == sorted((each.needed for each in unclear), reverse=True)


def test_without_any_job_it_holds_for_ever_and_says_so() -> None:
    there = world(jobs=0)
    rollout = there.begin(PLAN)
    for _ in range(20):
        rollout, _ = there.step(rollout)
    assert (rollout.decision.act, rollout.decision.reason) == (Act.HOLD, Reason.INCONCLUSIVE)
    assert rollout.decision.text == "error rate 0.0 % of 0 jobs, limit 5.0 %: inconclusive; about 30 more jobs are needed; none has ended in this step"  # fmt: skip


def test_a_rate_at_its_limit_passes_once_it_is_sure_not_to_be_much_above() -> None:
    completed = 0
    for seed in range(10):
        there = World(Random(seed), errors=(0.05, 0.05), jobs=1000)
        rollout, _ = there.run(PLAN, looks=300)
        completed += rollout.status is Status.COMPLETED
    assert completed >= 9


def test_durations_that_are_the_same_on_both_sides_pass_also_where_they_lie_in_clusters() -> None:
    """Then the shares of slow jobs are the same as well, and chance alone says which looks the larger."""
    completed = 0
    for seed in range(20):
        rollout, _ = World(Random(seed), jobs=1000).run(
            changed(max_error_rate=None, steps=(20, 40, 60)), looks=100
        )
        completed += rollout.status is Status.COMPLETED
    assert completed == 20


def test_nothing_is_judged_before_the_delay_is_over() -> None:
    there = world(errors=(0.0, 1.0))  # as a service may be that starts cold
    rollout = there.begin(changed(delay_ms=5 * MINUTE))
    for _ in range(5):
        rollout, decision = there.step(rollout)
        assert (decision.act, decision.reason) == (Act.HOLD, Reason.WARMING)
    there.errors = (0.0, 0.0)
    for _ in range(2):
        rollout, _ = there.step(rollout)
    assert {each.value for each in rollout.decision.judgements if each.guard is Guard.ERROR_RATE} == {0.0}


def test_the_last_step_stands_for_its_time() -> None:
    there = world()
    _, decisions = there.run(changed(stand_ms=30 * MINUTE))
    assert decisions[-1].act is Act.COMPLETE
    assert decisions[-1].at_ms - decisions[-2].at_ms >= 33 * MINUTE


def test_a_backlog_is_a_limit_of_its_own_and_must_stand_at_three_looks() -> None:
    there = world()
    rollout = stepped_to(there, changed(every_ms=20 * MINUTE))
    acts: list[Act] = []
    for backlog in (501, 900, 100, 501, 501, 501):
        there.backlog = backlog
        rollout, decision = there.step(rollout)
        acts.append(decision.act)
    assert acts == [Act.HOLD] * 5 + [Act.ROLL_BACK]
    assert rollout.decision.text.startswith("backlog 501 of ")
    assert rollout.decision.text.endswith(" jobs, limit 500: fail")


def test_a_side_that_starts_nothing_has_no_figures_and_is_found_by_its_oldest_job() -> None:
    there = world()
    rollout = stepped_to(there)
    there.jobs = 0
    for oldest in (20_000, 40_000, 50_000, 60_000):
        there.oldest_ms = oldest
        rollout, _ = there.step(rollout)
    assert rollout.decision.act is Act.ROLL_BACK
    assert rollout.decision.text.startswith("time in which nothing was started 60.0 s of ")


def test_jobs_that_start_late_break_the_limit_of_the_queue_latency() -> None:
    there = world()
    rollout = stepped_to(there)
    look = there.look()
    assert look.measured is not None
    late = Counts(started=40, latency=Histogram(((70, 40),)))  # more than two minutes
    sides = Sides(look.measured.sides.new.merged(late), look.measured.sides.other)
    _, decision = decide(rollout, Look(there.route, Measured(sides)), there.now_ms + MINUTE)
    assert decision.act is Act.ROLL_BACK
    assert decision.text.startswith("p95 of the queue latency ")


def test_slowness_is_seen_against_the_other_side_also_without_a_limit() -> None:
    there = world(slower=2 * THREE_TIMES)
    rollout, decisions = there.run(changed(max_p95_ms=None, max_error_rate=None))
    assert rollout.status is Status.ROLLED_BACK
    assert decisions[-1].text.startswith("duration against the other side's p95 ")


def test_the_figures_of_a_judgement_are_those_of_its_step() -> None:
    there = world(slower=2 * THREE_TIMES)
    rollout = there.begin(changed(max_p95_ms=None, tolerance=100.0, every_ms=5 * MINUTE))
    values: dict[Guard, float] = {}
    while rollout.step == 0:
        rollout, decision = there.step(rollout)
        values = {each.guard: each.value for each in decision.judgements}
    there.slower = 0
    for _ in range(3):
        rollout, _ = there.step(rollout)
    after = {each.guard: each.value for each in rollout.decision.judgements}
    assert values[Guard.P95_OF_OTHER] > 4 * after[Guard.P95_OF_OTHER]


def test_figures_that_cannot_be_read_hold_it_and_time_stands_still() -> None:
    there = world()
    rollout = stepped_to(there)
    spent = rollout.spent_ms
    seen: list[tuple[Reason, bool]] = []
    for _ in range(5):
        there.pass_time()
        earlier = rollout.decision
        rollout, decision = decide(rollout, Look(there.route, None), there.now_ms)
        assert decision.act is Act.HOLD
        seen.append((decision.reason, notable(earlier, decision)))
    assert seen == [
        (Reason.UNREAD, False), (Reason.UNREAD, False), (Reason.UNREADABLE, True), (Reason.UNREADABLE, False), (Reason.UNREADABLE, False),
    ]  # fmt: skip
    assert rollout.spent_ms == spent
    rollout, decision = there.step(rollout)
    assert decision.reason is Reason.STEP_TIME  # and what has come meanwhile counts
    assert rollout.unreadable == 0


def test_figures_that_shrink_because_some_were_pruned_are_not_negative() -> None:
    there = world()
    rollout = stepped_to(there)
    _, decision = decide(rollout, Look(there.route, Measured(Sides())), there.now_ms + MINUTE)
    assert decision.act is Act.HOLD


def test_a_route_changed_by_hand_pauses_it_whatever_the_figures_say() -> None:
    there = world()
    rollout = stepped_to(there)
    there.errors = (0.0, 1.0)
    there.route = there.route.changed({"main": 60, "push": 40})
    rollout, decision = there.step(rollout)
    assert (decision.act, decision.reason, decision.route) == (Act.PAUSE, Reason.BY_HAND, ())
    assert decision.text == "to main 60 %, push 40 %; this roll-out had set main 75 %, push 25 %: resume sets that again, abort goes back to before"  # fmt: skip
    for _ in range(5):
        rollout, decision = there.step(rollout)
        assert (decision.act, decision.reason) == (Act.HOLD, Reason.BY_HAND)
    rollout, decision = resume(rollout, there.route, there.now_ms, "ann")
    assert (decision.act, decision.who, decision.percent) == (Act.RESTORE, "ann", 25)
    there.obey(decision)
    assert there.route == rollout.route
    assert rollout.status is Status.RUNNING


def test_a_route_placed_by_something_else_is_a_change_by_hand_too() -> None:
    there = world()
    rollout = stepped_to(there)
    there.route = Route("email", there.route.runs, "header:tenant")
    rollout, decision = there.step(rollout)
    assert decision.reason is Reason.BY_HAND
    rollout, decision = abort(rollout, there.route, there.now_ms, "ann")
    again = decide(rollout, Look(there.route, None), there.now_ms)[1]
    assert again == decision  # until the route is in force
    rollout, _ = decide(rollout, Look(route_of("email", {"main": 100}), None), there.now_ms)
    assert rollout.status is Status.ABORTED


def test_a_pause_stops_the_steps_and_not_the_guard() -> None:
    there = world()
    rollout, decision = pause(stepped_to(there), there.now_ms, "ann")
    assert (decision.act, decision.reason, decision.who) == (Act.PAUSE, Reason.ASKED, "ann")
    for _ in range(20):
        rollout, decision = there.step(rollout)
        assert (decision.act, decision.reason) == (Act.HOLD, Reason.PAUSED)
    there.errors = (0.0, 1.0)
    rollout, decision = there.step(rollout)
    assert decision.act is Act.ROLL_BACK
    assert there.route == route_of("email", {"main": 100})


def test_after_a_pause_it_goes_on_where_it_was() -> None:
    there = world()
    rollout, _ = pause(stepped_to(there), there.now_ms)
    for _ in range(3):
        rollout, _ = there.step(rollout)
    rollout, decision = resume(rollout, there.route, there.now_ms)
    assert (decision.act, decision.route) == (Act.HOLD, ())
    rollout, decision = there.step(rollout)
    assert decision.act is Act.ADVANCE


def test_promoting_takes_the_next_step_at_once_and_completes_the_last() -> None:
    there = world(jobs=0)
    rollout = there.begin(PLAN)
    with pytest.raises(RolloutError, match="cannot promote the roll-out of email: the route of its step is not in force yet"):  # fmt: skip
        promote(rollout, there.now_ms)
    percents: list[int] = []
    while not rollout.status.over:
        rollout, _ = there.step(rollout)
        rollout, decision = promote(rollout, there.now_ms, "ann")
        there.obey(decision)
        percents.append(decision.percent)
    assert percents == [25, 100, 100]
    decision = rollout.decision
    assert (decision.act, decision.reason, decision.who) == (Act.COMPLETE, Reason.ASKED, "ann")


def test_what_is_over_cannot_be_asked_for_anything() -> None:
    there = world()
    rollout, decision = abort(stepped_to(there), there.route, there.now_ms)
    there.obey(decision)
    assert there.route == route_of("email", {"main": 100})
    with pytest.raises(RolloutError, match="cannot pause the roll-out of email: it is aborted"):
        pause(rollout, 0)
    with pytest.raises(RolloutError, match="cannot resume the roll-out of email: it is aborted"):
        resume(rollout, there.route, 0)
    with pytest.raises(RolloutError, match="cannot promote the roll-out of email: it is aborted"):
        promote(rollout, 0)
    with pytest.raises(RolloutError, match="cannot abort the roll-out of email: it is aborted"):
        abort(rollout, there.route, 0)
    with pytest.raises(RolloutError, match="cannot resume the roll-out of email: it is not paused"):
        resume(there.begin(PLAN), there.route, 0)


def test_a_decision_comes_again_until_its_route_is_in_force() -> None:
    """A controller may be killed between writing the roll-out and setting the route."""
    there = world()
    before = there.route
    rollout = start(PLAN, before, there.now_ms)
    for _ in range(3):
        there.pass_time()
        rollout, decision = decide(rollout, Look(before, None), there.now_ms)
        assert decision == rollout.decision
        assert decision.act is Act.ADVANCE
    # And when people pause it before it is:
    rollout, _ = pause(rollout, there.now_ms)
    _, decision = decide(rollout, Look(before, None), there.now_ms)
    assert (decision.act, decision.route) == (Act.RESTORE, rollout.runs)
    there.obey(decision)
    rollout, decision = there.step(rollout)
    assert (rollout.unconfirmed, decision.act) == (False, Act.HOLD)


def test_a_clock_that_leaps_forward_ends_no_step() -> None:
    there = world()
    rollout = stepped_to(there)
    there.now_ms += 24 * 60 * MINUTE
    spent = rollout.spent_ms
    rollout, decision = there.step(rollout)
    assert decision.reason is Reason.STEP_TIME
    assert rollout.spent_ms == spent + MINUTE


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    there = world()
    rollout = stepped_to(there)
    there.now_ms -= 24 * 60 * MINUTE
    spent = rollout.spent_ms
    rollout, _ = there.step(rollout)
    assert rollout.spent_ms == spent
    rollout, _ = there.step(rollout)
    assert rollout.spent_ms == spent + MINUTE


def test_hosts_whose_clocks_differ_by_minutes_do_not_hurry_it() -> None:
    there = world()
    rollout = stepped_to(there)
    spent, began = rollout.spent_ms, there.now_ms
    for number in range(12):
        there.pass_time()
        there.now_ms = began + (number + 1) * 10_000
        behind = 5 * MINUTE if number % 2 else 0
        rollout, _ = decide(rollout, there.look(), there.now_ms - behind)
    assert rollout.spent_ms - spent <= 12 * 10_000


percents = st.integers(1, 100)
weights = st.lists(st.integers(0, 100), min_size=3, max_size=3).filter(lambda each: sum(each) > 0)


@UNTIMED
@given(weights, percents)
def test_the_other_carriers_share_the_rest_as_they_did(given: list[int], percent: int) -> None:
    whole = sum(given)
    east, west = (number * 100 // whole for number in given[:2])
    route = route_of("email", {"east": east, "west": west, "main": 100 - east - west - 0, "push": 0})
    after = stepped(route, "push", percent)
    assert after.weights.get("push", 0) == percent
    for name, weight in route.weights.items():
        assert abs(after.weights.get(name, 0) - weight * (100 - percent) / 100) < 1
    assert moved(route, after) == percent


@UNTIMED
@given(st.integers(0, 2**32), st.sampled_from([(0.01, 0.01), (0.01, 0.2)]))
def test_a_roll_out_comes_back_from_its_stored_form_at_every_look(
    seed: int, errors: tuple[float, float]
) -> None:
    there = World(Random(seed), errors=errors)
    rollout = there.begin(PLAN)
    for _ in range(12):
        assert decode_rollout(encode_rollout(rollout)) == rollout
        rollout, _ = there.step(rollout)
    assert len(encode_rollout(rollout)) < 16 * 1024


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"step": 9}, "the step or the instant cannot be"), ({"runs": [["push", 99]]}, "add up to 100"), ({"plan": 5}, "Expected `object`")],
)  # fmt: skip
def test_damage_is_an_error_of_its_own(fields: dict[str, object], message: str) -> None:
    document = msgspec.json.decode(encode_rollout(world().begin(PLAN))) | fields
    with pytest.raises(CodecError, match=f"a stored roll-out is damaged: .*{message}"):
        decode_rollout(msgspec.json.encode(document))
    with pytest.raises(CodecError, match="more than 262144"):
        decode_rollout(b" " * 300_000)
