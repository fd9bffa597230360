"""The controller of roll-outs on real stores: it goes on from wherever another was killed, and two never fight."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import msgspec
import pytest

from headway.brokers.base import BrokerSettings
from headway.brokers.sqlite.broker import SqliteBroker
from headway.errors import BrokerUnavailableError, ConfigError
from headway.job import NewJob, new_job_id
from headway.routing.changing import change_routes, read_routes, routes_history
from headway.routing.controller import IDLE, LEASE_MS
from headway.routing.keeping import document_of, read_listed, read_rollout
from headway.routing.leaving import check_leaving
from headway.routing.rollout.asking import RolloutError, abort, pause, promote, resume
from headway.routing.rollout.rollout import Act, Reason, Status
from headway.routing.routes import route_of
from headway.routing.steering import ask, begin_all
from headway.testing import FakeClock, FaultyBroker
from tests.unit.rollout_store import DECLARED, PLAN, QUEUE, AwayFigures, Killed, Mortal, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.brokers.base import ControlStore, Store
    from headway.clock import Clock
    from headway.routing.changing import StoredRoutes
    from headway.routing.rollout.plan import Waiting
    from headway.routing.rollout.rollout import Decision, Rollout
    from headway.routing.routes import Route
    from headway.routing.table import RouteTable


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr("headway.routing.changing.SETTLING", 0.0)  # nobody enqueues here
    clock, settings = FakeClock(), BrokerSettings("shop")
    async with (
        SqliteBroker(f"sqlite:///{tmp_path}/east.db", settings, clock=clock) as east,
        SqliteBroker(f"sqlite:///{tmp_path}/west.db", settings, clock=clock) as west,
    ):
        yield Scene(east, west, clock)


async def test_a_healthy_roll_out_goes_through_its_steps_and_leaves_its_decisions(scene: Scene) -> None:
    await scene.begin()
    stored = await scene.looks(scene.controller())
    assert stored.rollout.status is Status.COMPLETED
    assert scene.percents == [10, 50, 100]
    acts = [one.act for one in stored.decisions if one.act is not Act.HOLD]
    assert acts == [Act.ADVANCE, Act.ADVANCE, Act.ADVANCE, Act.COMPLETE]
    assert all(one.judgements for one in stored.decisions if one.reason is Reason.PASSED)
    versions = await routes_history(scene.control)
    assert [table.who for table in versions] == ["one", "one", "ann"]
    assert "all limits are kept" in versions[0].why
    controller = scene.controller()
    await controller.round()  # takes it from the list
    assert not (await read_listed(scene.control)).active
    assert await controller.round() > IDLE / 2


async def test_a_broken_limit_goes_back_to_the_route_of_before_at_once(scene: Scene) -> None:
    await scene.begin()
    controller = scene.controller()
    while await scene.percent() < 50:
        await scene.looks(controller, 1)
    scene.fails = 0.5
    stored = await scene.looks(controller)
    assert stored.rollout.status is Status.ROLLED_BACK
    assert scene.percents == [10, 50, 0]
    assert "error" in stored.decisions[-1].text
    scene.fails = 0.0
    await scene.begin()
    assert (await scene.looks(controller)).rollout.status is Status.COMPLETED
    assert scene.percents == [10, 50, 0, 10, 50, 100]


@pytest.mark.parametrize("fails", [0.0, 0.5])
@pytest.mark.parametrize("done", [True, False], ids=["behind the write", "before it"])
async def test_killed_at_any_write_another_goes_on(scene: Scene, *, done: bool, fails: float) -> None:
    await scene.begin()
    scene.fails = fails
    at, kills = 1, 0
    while not (await scene.stored()).rollout.status.over:
        # Each is killed at its first, second or third write, in turn.
        controller = scene.controller(
            f"controller {at}", control=Mortal(scene.control, at % 3 + 1, done=done)
        )
        at += 1
        try:
            await scene.looks(controller, 12)
        except Killed:
            kills += 1
            await scene.note()
            scene.clock.advance(LEASE_MS)
        assert at < 100
    scene.clock.advance(LEASE_MS)
    stored = await scene.looks(scene.controller("the last"))
    assert kills >= (1 if fails else 2)
    assert stored.rollout.status is (Status.ROLLED_BACK if fails else Status.COMPLETED)
    for _ in range(2):
        await scene.controller("the last").round()
    assert await scene.percent() == (0 if fails else 100)
    assert scene.percents[0] == 10
    assert set(scene.percents) <= {0, 10, 50, 100}
    assert sorted(scene.percents) == scene.percents or fails
    assert not (await read_listed(scene.control)).active


async def test_of_two_controllers_one_looks_and_the_other_takes_over_when_it_is_gone(scene: Scene) -> None:
    await scene.begin()
    one, two = scene.controller("one"), scene.controller("two")
    await scene.passing()
    assert await one.step(QUEUE) is not None
    assert await two.step(QUEUE) is None
    version = (await scene.stored()).version
    await two.round()
    assert (await scene.stored()).version == version
    scene.clock.advance(LEASE_MS)
    assert await two.step(QUEUE) is not None
    assert await one.step(QUEUE) is None
    await two.finish()
    assert await one.step(QUEUE) is not None


async def test_two_at_once_make_each_step_once(scene: Scene) -> None:
    await scene.begin()
    both = [scene.controller("one"), scene.controller("two")]
    for look in range(60):
        await scene.passing()
        await asyncio.gather(*(each.round() for each in both))
        await scene.note()
        if look % 3 == 2:
            await both[look % 2].finish()
    assert (await scene.stored()).rollout.status is Status.COMPLETED
    assert scene.percents == [10, 50, 100]
    assert len(await routes_history(scene.control)) == 3


async def test_who_has_lost_the_lease_in_the_middle_of_a_look_writes_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.begin()
    one, two = scene.controller("one"), scene.controller("two")
    await scene.passing()

    async def slow(control: ControlStore, clock: Clock) -> StoredRoutes:
        monkeypatch.setattr("headway.routing.controller.read_routes", read_routes)
        scene.clock.advance(LEASE_MS)
        assert await two.step(QUEUE) is not None
        return await read_routes(control, clock)

    monkeypatch.setattr("headway.routing.controller.read_routes", slow)
    assert await one.step(QUEUE) is None
    held = await scene.control.hold_control(document_of(QUEUE), "two", LEASE_MS)
    assert held is not None
    assert (await scene.stored()).version == 2  # the beginning, and the look of the second


async def test_figures_that_cannot_be_read_hold_it_and_are_no_failure(scene: Scene) -> None:
    await scene.begin()
    blind = scene.controller(figures=AwayFigures(scene.figures))
    stored = await scene.looks(blind, 20)
    assert stored.rollout.status is Status.RUNNING
    assert [one.reason for one in stored.decisions] == [Reason.STARTED, Reason.UNREADABLE]
    assert scene.percents == [10]
    assert (await scene.looks(scene.controller())).rollout.status is Status.COMPLETED


async def test_a_step_without_jobs_does_not_pass_for_want_of_limits(scene: Scene) -> None:
    await scene.begin(msgspec.structs.replace(PLAN, max_error_rate=None))
    for _ in range(20):
        await scene.passing(0)
        await scene.controller().round()
    stored = await scene.stored()
    assert stored.rollout.decision.reason is Reason.INCONCLUSIVE
    assert stored.rollout.decision.text == "0 of at least 20 jobs have ended in this step"
    assert await scene.percent() == 10
    assert (await scene.looks(scene.controller())).rollout.status is Status.COMPLETED


async def test_a_new_side_that_is_away_is_judged_by_what_was_counted_of_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counts(_: object) -> NoReturn:
        msg = "cut"
        raise BrokerUnavailableError(msg)

    await scene.begin()
    scene.fails = 0.5
    monkeypatch.setattr(scene.carriers["west"], "counts", counts)
    assert (await scene.looks(scene.controller())).rollout.status is Status.ROLLED_BACK


async def test_a_route_that_is_changed_by_hand_pauses_it_and_says_why(scene: Scene) -> None:
    await scene.begin()
    controller = scene.controller()
    await scene.looks(controller, 2)

    def edit(table: RouteTable, now_ms: int) -> RouteTable:
        return table.changed(
            {QUEUE: route_of(QUEUE, {"east": 70, "west": 30})}, who="bob", when_ms=now_ms, why=""
        )

    await change_routes(scene.control, edit, scene.clock)
    scene.fails = 0.9
    stored = await scene.looks(controller, 8)
    assert stored.rollout.status is Status.PAUSED
    assert await scene.percent() == 30
    assert "west 30 %" in stored.decisions[-1].text
    await scene.ask(lambda rollout, route, now: resume(rollout, route, now, "ann"))
    assert await scene.percent() == 10
    # What failed meanwhile counts from now on.
    assert (await scene.looks(controller)).rollout.status is Status.ROLLED_BACK
    assert await scene.percent() == 0


async def test_people_pause_promote_and_abort_it(scene: Scene) -> None:
    await scene.begin()
    controller = scene.controller()
    await scene.looks(controller, 2)
    await scene.ask(lambda rollout, _, now: pause(rollout, now, "ann"))
    assert (await scene.looks(controller, 30)).rollout.status is Status.PAUSED
    assert await scene.percent() == 10
    await scene.ask(lambda rollout, _, now: promote(rollout, now, "ann"))
    assert await scene.percent() == 50
    await scene.looks(controller, 1)
    await scene.ask(lambda rollout, route, now: abort(rollout, route, now, "ann"))
    assert await scene.percent() == 0
    stored = await scene.stored()
    assert (stored.rollout.status, stored.decisions[-1].who) == (Status.ABORTED, "ann")
    with pytest.raises(RolloutError, match="it is aborted"):
        await scene.ask(lambda rollout, _, now: pause(rollout, now))


async def test_a_queue_has_one_roll_out_at_a_time_and_a_plan_must_fit(scene: Scene) -> None:
    with pytest.raises(RolloutError, match="queue mail has no roll-out"):
        await scene.ask(lambda rollout, _, now: pause(rollout, now))
    with pytest.raises(ConfigError, match="there is no carrier 'north'"):
        await scene.begin(msgspec.structs.replace(PLAN, to="north"))
    await scene.begin()
    with pytest.raises(RolloutError, match="a roll-out of queue mail to west is under way, running at 10 %"):
        await scene.begin()
    assert len(await routes_history(scene.control)) == 1


async def test_a_plan_of_several_queues_goes_one_after_the_other_and_stops_at_a_failure(scene: Scene) -> None:
    second = msgspec.structs.replace(PLAN, queue="reports")
    third = msgspec.structs.replace(PLAN, queue="imports")
    await begin_all(scene.control, DECLARED, (PLAN, second, third), scene.clock, who="ann")
    with pytest.raises(RolloutError, match="under way"):
        await begin_all(scene.control, DECLARED, (third,), scene.clock, who="ann")
    assert (await scene.looks(scene.controller())).rollout.status is Status.COMPLETED
    for _ in range(3):
        await scene.controller().round()
    assert await scene.campaign() == (("reports",), 1, "")
    await ask(scene.control, DECLARED, "reports", _abort, scene.clock, who="ann")
    for _ in range(3):
        await scene.controller().round()
    assert await scene.campaign() == ((), 1, "reports was aborted: reports: back to the route of before")
    assert await read_rollout(scene.control, "imports") is None
    # The same plans again: what the first campaign completed is no longer to be done, and says so.
    with pytest.raises(ConfigError, match="all jobs of mail go to west already"):
        await begin_all(scene.control, DECLARED, (PLAN, second), scene.clock, who="ann")


async def test_a_plan_that_fits_no_more_when_its_turn_comes_stops_the_rest(scene: Scene) -> None:
    second = msgspec.structs.replace(PLAN, queue="reports")
    await begin_all(scene.control, DECLARED, (PLAN, second), scene.clock, who="ann")

    def edit(table: RouteTable, now_ms: int) -> RouteTable:
        return table.changed(
            {"reports": route_of("reports", {"west": 100})}, who="bob", when_ms=now_ms, why=""
        )

    await change_routes(scene.control, edit, scene.clock)
    await scene.looks(scene.controller())
    for _ in range(3):
        await scene.controller().round()
    queues, done, stopped = await scene.campaign()
    assert (queues, done) == ((), 1)
    assert stopped.startswith("reports cannot begin: rollout: to: all jobs of reports go to west already")


def _abort(rollout: Rollout, route: Route, now_ms: int) -> tuple[Rollout, Decision]:
    return abort(rollout, route, now_ms, "ann")


@pytest.mark.parametrize("waiting", ["run", "move", "stay"])
async def test_jobs_that_wait_on_the_new_side_do_as_the_plan_says_when_it_goes_back(
    scene: Scene, waiting: Waiting
) -> None:
    await scene.begin(msgspec.structs.replace(PLAN, waiting=waiting))
    jobs = [NewJob(new_job_id(), "send", QUEUE, b"") for _ in range(3)]
    east, west = scene.carriers["east"], scene.carriers["west"]
    await west.enqueue(jobs)
    controller = scene.controller()
    scene.fails = 0.5
    await scene.looks(controller)
    for _ in range(2):
        await controller.round()
    assert not (await read_listed(scene.control)).active
    there, here = [await one.get([job.id for job in jobs]) for one in (west, east)]
    assert [one is not None for one in there] == [waiting != "move"] * 3
    assert [one is not None for one in here] == [waiting == "move"] * 3
    assert QUEUE not in await east.paused()
    assert (QUEUE in await west.paused()) == (waiting == "stay")


async def test_what_waits_cannot_be_moved_back_from_a_carrier_that_gives_nothing_away(scene: Scene) -> None:
    check_leaving(msgspec.structs.replace(PLAN, waiting="move"), scene.carriers)
    giving_nothing = FaultyBroker(scene.carriers["west"])
    given: dict[str, Store] = {"east": scene.carriers["east"], "west": giving_nothing}
    with pytest.raises(ConfigError, match="carrier west cannot give waiting jobs back"):
        check_leaving(msgspec.structs.replace(PLAN, waiting="move"), given)
