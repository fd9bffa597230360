"""Promise 6, *one job per schedule and fire time*, and the schedules that a carrier keeps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import ScheduleRecord
from headway.errors import BrokerError
from headway.job import Fire, JobId, JobState
from tests.conformance.scene import DAY, MINUTE, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store


def _daily(**changes: object) -> ScheduleRecord:
    given: dict[str, object] = {"name": "daily", "spec": "0 3 * * *", "task": "shop.report", "declared_ms": 1}
    return ScheduleRecord(**(given | changes))  # type: ignore[arg-type]


async def _fire(scene: Scene, at: int, schedule: str = "daily") -> tuple[str, str | None]:
    answer = await scene.offer(scene.job(fire=Fire(schedule, at)))
    return answer.id, answer.duplicate_of


async def test_a_fire_is_accepted_once(scene: Scene) -> None:
    """Promise 6: any number of schedulers."""
    first, duplicate = await _fire(scene, scene.now)
    assert duplicate is None
    for _ in range(3):
        assert (await _fire(scene, scene.now))[1] == first
    assert await scene.take_ids() == [first]


async def test_of_concurrent_schedulers_one_wins(scene: Scene, store: Store) -> None:
    """Promise 6 under a race of processes."""
    async with store.broker() as other:
        answers = await asyncio.gather(
            *(_fire(Scene((scene.carrier, other)[n % 2], scene.clock), scene.now) for n in range(20))
        )
    [winner] = [job_id for job_id, duplicate in answers if duplicate is None]
    assert {duplicate for _, duplicate in answers} == {None, winner}
    assert await scene.take_ids() == [winner]


async def test_later_fires_are_accepted_and_earlier_ones_are_not(scene: Scene) -> None:
    """Promise 6: a scheduler that lags behind cannot repeat the past."""
    await _fire(scene, scene.now)
    second, duplicate = await _fire(scene, scene.now + MINUTE)
    assert duplicate is None
    assert (await _fire(scene, scene.now))[1] == second
    assert (await _fire(scene, scene.now + MINUTE - 1))[1] == second
    assert await scene.count(JobState.READY) == 2


async def test_schedules_fire_independently(scene: Scene) -> None:
    for name in ("a", "b", "a:b", "A"):
        assert (await _fire(scene, scene.now, name))[1] is None


async def test_a_fire_is_a_duplicate_although_its_job_is_long_gone(scene: Scene) -> None:
    """Promise 6: beyond the retention of the job."""
    first, _ = await _fire(scene, scene.now)
    at = scene.now
    await scene.finish(await scene.take_one())
    scene.clock.advance(30 * DAY)
    await scene.carrier.tend()
    assert await scene.state(JobId(first)) is None
    job = scene.job(fire=Fire("daily", at))
    answer = await scene.offer(job)
    assert answer.duplicate_of in {first, job.id}
    assert await scene.take() == []


async def test_a_batch_may_hold_several_fires_of_one_schedule(scene: Scene) -> None:
    """Catch-up after a pause."""
    times = [scene.now - 2 * MINUTE, scene.now - MINUTE, scene.now - MINUTE, scene.now]
    jobs = [scene.job(fire=Fire("daily", at)) for at in times]
    answers = await scene.carrier.enqueue(jobs)
    assert [answer.duplicate_of for answer in answers] == [None, None, jobs[1].id, None]
    accepted = [jobs[0].id, jobs[1].id, jobs[3].id]
    assert scene.ordered(await scene.take_ids()) == scene.ordered(accepted)


async def test_a_fire_in_the_future_of_the_carriers_clock_is_refused(scene: Scene) -> None:
    """A host whose clock is ahead does not silence a schedule for all others until that time."""
    ahead = scene.job(fire=Fire("daily", scene.now + DAY))
    with pytest.raises(BrokerError, match="future of the carrier's clock"):
        await scene.carrier.enqueue([ahead])
    assert await scene.count(JobState.READY) == 0
    first, duplicate = await _fire(scene, scene.now)
    assert duplicate is None
    assert await scene.take_ids() == [first]
    scene.clock.advance(DAY)
    assert (await _fire(scene, scene.now))[1] is None


async def test_clocks_may_differ_by_a_little(scene: Scene) -> None:
    assert (await _fire(scene, scene.now + MINUTE))[1] is None


async def test_a_skip_into_the_future_counts_up_to_now(scene: Scene) -> None:
    await scene.carrier.declare_schedules([_daily()])
    await scene.carrier.skip_fire(Fire("daily", scene.now + DAY))
    assert [record.last_fire_ms for record in await scene.carrier.schedules()] == [scene.now]
    assert (await _fire(scene, scene.now))[1] is not None
    scene.clock.advance(MINUTE)
    assert (await _fire(scene, scene.now))[1] is None


@pytest.mark.parametrize("how", ["fire", "skip"])
async def test_a_last_fire_that_lies_in_the_future_keeps_no_other_from_being_accepted(
    scene: Scene, how: str
) -> None:
    """The carrier's own clock was ahead, or a Headway wrote it that did not refuse such a fire."""
    await scene.carrier.declare_schedules([_daily()])
    scene.clock.advance(DAY)
    if how == "fire":
        await _fire(scene, scene.now)
    else:
        await scene.carrier.skip_fire(Fire("daily", scene.now))
    scene.clock._now_ms -= DAY
    await scene.carrier.skip_fire(Fire("daily", scene.now))
    assert [record.last_fire_ms for record in await scene.carrier.schedules()] == [scene.now]
    scene.clock.advance(MINUTE)
    later, duplicate = await _fire(scene, scene.now)
    assert duplicate is None
    assert (await _fire(scene, scene.now))[1] == later


async def test_repeating_a_fire_with_the_same_id_is_no_duplicate(scene: Scene) -> None:
    """Idempotence: the scheduler lost the answer and repeats the call."""
    job = scene.job(fire=Fire("daily", scene.now))
    await scene.put(job)
    assert (await scene.offer(job)).duplicate_of is None
    assert await scene.take_ids() == [job.id]


async def test_schedules_are_kept_and_listed_by_name(scene: Scene) -> None:
    weekly = ScheduleRecord("weekly", "0 3 * * 1", "shop.weekly", declared_ms=5)
    odd = ScheduleRecord("ünïcode | a:b", "every 5m", "t", declared_ms=6)
    await scene.carrier.declare_schedules([weekly, odd, _daily()])
    assert await scene.carrier.schedules() == [_daily(), weekly, odd]


async def test_no_schedules_are_listed_before_any_is_declared(scene: Scene) -> None:
    assert await scene.carrier.schedules() == []


async def test_a_new_declaration_changes_the_spec_and_keeps_pause_and_last_fire(scene: Scene) -> None:
    await scene.carrier.declare_schedules([_daily()])
    await _fire(scene, scene.now)
    assert await scene.carrier.pause_schedule("daily", paused=True)
    await scene.carrier.declare_schedules([_daily(spec="0 4 * * *", task="shop.other", declared_ms=9)])
    [record] = await scene.carrier.schedules()
    assert record == _daily(
        spec="0 4 * * *", task="shop.other", declared_ms=9, paused=True, last_fire_ms=scene.now
    )


async def test_a_schedule_that_is_no_longer_declared_is_forgotten(scene: Scene) -> None:
    await scene.carrier.declare_schedules([_daily(), _daily(name="other")])
    await scene.carrier.declare_schedules([_daily(name="other")])
    assert [record.name for record in await scene.carrier.schedules()] == ["other"]
    await scene.carrier.declare_schedules([])
    assert await scene.carrier.schedules() == []


async def test_an_old_fire_stays_refused_after_the_schedule_was_forgotten(scene: Scene) -> None:
    """Promise 6: a redeploy that drops a schedule and brings it back does not repeat its fires."""
    await scene.carrier.declare_schedules([_daily()])
    first, _ = await _fire(scene, scene.now)
    await scene.carrier.declare_schedules([])
    assert (await _fire(scene, scene.now))[1] == first
    await scene.carrier.declare_schedules([_daily()])
    assert (await _fire(scene, scene.now))[1] == first
    [record] = await scene.carrier.schedules()
    assert record.last_fire_ms == scene.now


async def test_a_schedule_is_paused_and_resumed(scene: Scene, store: Store) -> None:
    """Any process can pause a schedule."""
    await scene.carrier.declare_schedules([_daily()])
    async with store.broker() as other:
        assert await other.pause_schedule("daily", paused=True)
    assert [record.paused for record in await scene.carrier.schedules()] == [True]
    assert await scene.carrier.pause_schedule("daily", paused=True)
    assert await scene.carrier.pause_schedule("daily", paused=False)
    assert [record.paused for record in await scene.carrier.schedules()] == [False]


async def test_pausing_an_unknown_schedule_says_so(scene: Scene) -> None:
    assert await scene.carrier.pause_schedule("unknown", paused=True) is False
    assert await scene.carrier.schedules() == []


async def test_the_last_fire_is_recorded(scene: Scene) -> None:
    await scene.carrier.declare_schedules([_daily()])
    assert [record.last_fire_ms for record in await scene.carrier.schedules()] == [None]
    await _fire(scene, scene.now)
    await _fire(scene, scene.now - MINUTE)
    assert [record.last_fire_ms for record in await scene.carrier.schedules()] == [scene.now]


async def test_a_skipped_fire_is_done_without_a_job(scene: Scene) -> None:
    await scene.carrier.declare_schedules([_daily()])
    await scene.carrier.skip_fire(Fire("daily", scene.now))
    assert [record.last_fire_ms for record in await scene.carrier.schedules()] == [scene.now]
    assert (await _fire(scene, scene.now))[1] is not None
    assert await scene.take() == []
    assert (await _fire(scene, scene.now + MINUTE))[1] is None


async def test_a_skip_never_goes_back(scene: Scene) -> None:
    await scene.carrier.declare_schedules([_daily()])
    first, _ = await _fire(scene, scene.now)
    await scene.carrier.skip_fire(Fire("daily", scene.now - MINUTE))
    assert [record.last_fire_ms for record in await scene.carrier.schedules()] == [scene.now]
    assert (await _fire(scene, scene.now))[1] == first


async def test_a_delayed_job_may_carry_a_fire(scene: Scene) -> None:
    """A schedule with jitter enqueues ahead of its fire time."""
    job = scene.job(fire=Fire("daily", scene.now + MINUTE), due=MINUTE)
    await scene.put(job)
    assert (await _fire(scene, scene.now + MINUTE))[1] == job.id
    scene.clock.advance(MINUTE)
    assert await scene.take_ids() == [job.id]
