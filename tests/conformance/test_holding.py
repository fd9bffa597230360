"""Who holds what makes jobs one of a kind: asked without a change, and jobs for whoever is held already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, assert_never

import pytest
from msgspec.structs import replace

from headway.brokers.base import Enqueued, KeyIndex, Retention, Settlement
from headway.job import Fire, JobState, NewJob, Released, RetryAt, Succeeded, UniqueLock, UniqueMode
from tests.conformance.scene import DAY, HOUR, MINUTE, SECOND, TERMINAL, WAITING, Scene

if TYPE_CHECKING:
    from headway.job import JobId
    from tests.conformance.store import Store

pytestmark = pytest.mark.needs("one_store")

REJECT = UniqueLock("u", UniqueMode.REJECT)
THROTTLE = UniqueLock("u", UniqueMode.THROTTLE, MINUTE)
DEBOUNCE = UniqueLock("u", UniqueMode.DEBOUNCE)
KEEP_LAST = UniqueLock("u", UniqueMode.KEEP_LAST)
LOCKS = (REJECT, THROTTLE, DEBOUNCE, KEEP_LAST)
by_mode = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.mode)


def _keys(scene: Scene) -> KeyIndex:
    keys = scene.carrier.capabilities.keys
    assert keys is not None  # every carrier can be asked
    return keys


async def _find(scene: Scene, *jobs: NewJob) -> list[JobId | None]:
    return await _keys(scene).find_held(jobs)


async def _offer(scene: Scene, *jobs: NewJob) -> list[Enqueued | None]:
    return await _keys(scene).enqueue_held(jobs)


def _job(scene: Scene, lock: UniqueLock) -> NewJob:
    return scene.job(queue="u", unique=lock)


async def test_nothing_stands_in_the_way_of_plain_jobs(scene: Scene) -> None:
    await scene.put()
    assert await _find(scene, scene.job(), scene.job()) == [None, None]
    assert await _find(scene) == []


@pytest.mark.parametrize("state", list(JobState))
async def test_the_holder_of_a_key_is_named_in_every_state(scene: Scene, state: JobState) -> None:
    holder = await scene.reach(state, scene.job(key="k"))
    assert await _find(scene, scene.job(key="k"), scene.job(key="other")) == [holder, None]
    assert (await scene.offer(scene.job(key="k"))).duplicate_of == holder


async def test_a_key_is_free_when_its_record_is_no_longer_kept(store: Store) -> None:
    kept = Retention(succeeded_ms=2 * HOUR)
    async with store.broker(retention=kept) as carrier:
        scene = Scene(carrier, store.clock)
        holder = await scene.finish(await scene.start(scene.job(key="k")))
        scene.clock.advance(2 * HOUR - 1)
        assert await _find(scene, scene.job(key="k")) == [holder]
        scene.clock.advance(2)
        assert await _find(scene, scene.job(key="k")) == [None]
        await scene.put(scene.job(key="k"))


async def test_a_key_of_a_removed_job_is_free(scene: Scene) -> None:
    holder = await scene.put(scene.job(key="k"))
    await scene.carrier.remove([holder])
    assert await _find(scene, scene.job(key="k")) == [None]


async def test_a_job_that_is_here_stands_in_its_own_way(scene: Scene) -> None:
    """Whoever does not know whether its call arrived is told."""
    job = scene.job(key="k")
    assert await _find(scene, job) == [None]
    await scene.put(job)
    assert await _find(scene, job) == [job.id]


async def test_a_fire_time_that_is_not_later_is_told(scene: Scene) -> None:
    at_ms = scene.now - MINUTE
    first = scene.job(fire=Fire("s", at_ms))
    assert await _find(scene, first) == [None]
    await scene.put(first)
    earlier, same = scene.job(fire=Fire("s", at_ms - 1)), scene.job(fire=Fire("s", at_ms))
    later, other = scene.job(fire=Fire("s", at_ms + 1)), scene.job(fire=Fire("o", at_ms))
    assert await _find(scene, earlier, same, later, other) == [first.id, first.id, None, None]


async def test_a_fire_time_that_was_skipped_is_told(scene: Scene) -> None:
    at_ms = scene.now - MINUTE
    await scene.carrier.skip_fire(Fire("s", at_ms))
    same, later = scene.job(fire=Fire("s", at_ms)), scene.job(fire=Fire("s", at_ms + 1))
    assert await _find(scene, same, later) == [same.id, None]


async def test_a_batch_is_answered_in_its_order(scene: Scene) -> None:
    holders = [await scene.put(scene.job(key=f"k{number}")) for number in range(50)]
    jobs = [scene.job(key=f"k{number}") for number in reversed(range(100))]
    assert await _find(scene, *jobs) == [None] * 50 + holders[::-1]


async def test_asking_changes_nothing(scene: Scene) -> None:
    job = scene.job(key="k", fire=Fire("s", scene.now - MINUTE))
    await _find(scene, job, job)
    await scene.put(job)
    holder = await scene.record(job.id)
    scene.clock.advance(SECOND)
    again = replace(scene.job(key="k"), fire=Fire("s", scene.now))
    await _find(scene, again)
    assert await scene.record(job.id) == holder
    assert await scene.carrier.schedules() == []
    await scene.put(replace(scene.job(), fire=Fire("s", scene.now - 1)))


@by_mode
@pytest.mark.needs("unique")
@pytest.mark.parametrize("state", [None, *JobState])
async def test_asking_says_what_enqueue_would_meet(
    scene: Scene, lock: UniqueLock, state: JobState | None
) -> None:
    """By the holder's state and the job's mode; what would replace the holder, or wait for it, is told as well."""
    holder = None if state is None else await scene.reach(state, _job(scene, lock))
    job = _job(scene, lock)
    match lock.mode:
        case UniqueMode.REJECT | UniqueMode.KEEP_LAST:
            held = state in {*WAITING, JobState.RUNNING}
        case UniqueMode.DEBOUNCE:
            held = state in WAITING
        case UniqueMode.THROTTLE:
            held = state is not None
        case _:
            assert_never(lock.mode)
    assert await _find(scene, job) == [holder if held else None]
    [answer] = await _offer(scene, job)
    assert (answer is not None) == held
    known = await scene.state(job.id)
    if not held or lock.mode in {UniqueMode.REJECT, UniqueMode.THROTTLE}:
        assert known is None
        assert answer == (Enqueued(job.id, holder) if held else None)
    else:
        assert answer == Enqueued(job.id)
        waits = lock.mode is UniqueMode.KEEP_LAST and state is JobState.RUNNING
        assert known is (JobState.SCHEDULED if waits else JobState.READY)


@by_mode
@pytest.mark.needs("unique")
async def test_a_job_without_a_holder_is_left_out_and_takes_no_key(scene: Scene, lock: UniqueLock) -> None:
    jobs = [_job(scene, lock) for _ in range(3)]
    assert await _offer(scene, *jobs) == [None, None, None]
    assert await scene.states([job.id for job in jobs]) == [None] * 3
    assert await _find(scene, *jobs) == [None, None, None]
    await scene.put(_job(scene, lock))


@pytest.mark.needs("unique")
async def test_what_is_left_out_leaves_nothing_behind(scene: Scene) -> None:
    """No idempotency key, no fire time: the job is enqueued elsewhere, and perhaps here later."""
    job = replace(_job(scene, REJECT), key="k", fire=Fire("s", scene.now - MINUTE), expires_ms=scene.now + 1)
    assert await _offer(scene, job) == [None]
    assert await _find(scene, job) == [None]
    await scene.put(job)


@pytest.mark.needs("unique")
async def test_a_key_that_became_free_stays_free(scene: Scene, store: Store) -> None:
    """However many producers come: the carrier gets no new holders."""
    delivery = await scene.start(_job(scene, KEEP_LAST))
    [held] = await _offer(scene, _job(scene, KEEP_LAST))
    assert held is not None
    async with store.broker() as other:
        both = (scene, Scene(other, scene.clock))

        async def come(number: int) -> Enqueued | None:
            [answer] = await _offer(both[number % 2], _job(scene, KEEP_LAST))
            return answer

        async def end() -> None:
            await scene.finish(delivery)
            for one in await scene.take(queue="u"):
                await scene.finish(one)

        await asyncio.gather(*(come(number) for number in range(10)), end())
        while taken := await scene.take(queue="u"):
            await scene.carrier.settle([Settlement(one.lease, Succeeded()) for one in taken])
        assert await asyncio.gather(*(come(number) for number in range(10))) == [None] * 10
    assert await scene.count(JobState.READY, "u") == 0


@pytest.mark.needs("unique")
async def test_an_accepted_job_is_told_again(scene: Scene) -> None:
    await scene.put(_job(scene, DEBOUNCE))
    job = _job(scene, DEBOUNCE)
    assert await _offer(scene, job) == [Enqueued(job.id)]
    assert await _offer(scene, job, job) == [Enqueued(job.id)] * 2
    assert await scene.count(JobState.READY, "u") == 1


@pytest.mark.needs("unique")
async def test_of_jobs_for_several_keys_those_that_are_held_are_accepted(scene: Scene) -> None:
    keys = [UniqueLock(f"u{number}", UniqueMode.DEBOUNCE) for number in range(6)]
    for lock in keys[::2]:
        await scene.put(_job(scene, lock))
    jobs = [_job(scene, lock) for lock in keys]
    answers = await _offer(scene, *jobs)
    assert [answer is not None for answer in answers] == [True, False] * 3
    assert await scene.states([job.id for job in jobs]) == [JobState.READY, None] * 3


@by_mode
@pytest.mark.needs("unique")
@pytest.mark.parametrize("ask", ["find", "offer"])
async def test_an_overdue_holder_that_nobody_looked_at_holds_no_more(
    scene: Scene, lock: UniqueLock, ask: str
) -> None:
    holder = await scene.put(scene.job(queue="u", unique=lock, expires=SECOND))
    scene.clock.advance(SECOND)
    within = lock.mode is UniqueMode.THROTTLE
    if ask == "find":
        assert await _find(scene, _job(scene, lock)) == [holder if within else None]
    else:
        [answer] = await _offer(scene, _job(scene, lock))
        assert (answer is not None) == within


@pytest.mark.needs("unique")
@pytest.mark.parametrize("lock", [KEEP_LAST, REJECT, DEBOUNCE], ids=lambda lock: lock.mode)
@pytest.mark.parametrize("ask", ["find", "offer"])
async def test_whoever_an_overdue_holder_held_back_holds_then(
    scene: Scene, lock: UniqueLock, ask: str
) -> None:
    delivery = await scene.start(scene.job(queue="u", unique=KEEP_LAST, expires=SECOND))
    held = await scene.put(_job(scene, KEEP_LAST))
    await scene.finish(delivery, Released())
    scene.clock.advance(SECOND)
    if ask == "find":
        assert await _find(scene, _job(scene, lock)) == [held]
    else:
        [answer] = await _offer(scene, _job(scene, lock))
        assert answer is not None


@pytest.mark.needs("unique")
async def test_a_throttle_window_is_that_of_the_new_job(scene: Scene) -> None:
    holder = await scene.finish(await scene.start(_job(scene, THROTTLE)))
    scene.clock.advance(30 * SECOND)
    short = UniqueLock("u", UniqueMode.THROTTLE, 30 * SECOND)
    longer = UniqueLock("u", UniqueMode.THROTTLE, 31 * SECOND)
    assert await _find(scene, _job(scene, short), _job(scene, longer)) == [None, holder]
    assert await _offer(scene, _job(scene, short)) == [None]


@pytest.mark.needs("unique")
async def test_a_holder_that_waits_for_its_retry_holds(scene: Scene) -> None:
    delivery = await scene.start(_job(scene, REJECT))
    await scene.finish(delivery, RetryAt(scene.now + HOUR))
    assert await _find(scene, _job(scene, REJECT)) == [delivery.lease.job_id]


@pytest.mark.parametrize("state", TERMINAL)
async def test_a_key_is_told_until_the_last_day(scene: Scene, state: JobState) -> None:
    holder = await scene.reach(state, scene.job(key="k"))
    scene.clock.advance(DAY - MINUTE)
    assert await _find(scene, scene.job(key="k")) == [holder]


async def test_only_jobs_with_a_unique_key_are_meant(scene: Scene) -> None:
    with pytest.raises(ValueError, match="has no unique key"):
        await _offer(scene, scene.job(key="k"))


async def test_apps_do_not_stand_in_each_others_way(scene: Scene, store: Store) -> None:
    await scene.put(scene.job(key="k", fire=Fire("s", scene.now)))
    async with store.broker(namespace=store.namespace + "2") as other:
        found = await _find(Scene(other, scene.clock), scene.job(key="k", fire=Fire("s", scene.now)))
        assert found == [None]
