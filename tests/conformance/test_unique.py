"""Unique jobs: reject, throttle, debounce, keep the last while one runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import Settlement
from headway.job import (
    Cancelled,
    Expired,
    Failed,
    JobState,
    NewJob,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    UniqueLock,
    UniqueMode,
    WorkerId,
)
from tests.conformance.scene import HOUR, LEASE_MS, MINUTE, RETRYABLE, SECOND, TERMINAL, WAITING, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store

pytestmark = pytest.mark.needs("unique")

REJECT = UniqueLock("u", UniqueMode.REJECT)
THROTTLE = UniqueLock("u", UniqueMode.THROTTLE, MINUTE)
DEBOUNCE = UniqueLock("u", UniqueMode.DEBOUNCE)
KEEP_LAST = UniqueLock("u", UniqueMode.KEEP_LAST)
LOCKS = (REJECT, THROTTLE, DEBOUNCE, KEEP_LAST)
ENDINGS: tuple[Outcome, ...] = (Succeeded(), Failed(), Cancelled(), Expired())

by_mode = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.mode)


def _job(scene: Scene, lock: UniqueLock, *, due: int | None = None) -> NewJob:
    return scene.job(queue="u", unique=lock, due=due)


async def _running(scene: Scene, lock: UniqueLock) -> tuple[NewJob, Settlement]:
    job = _job(scene, lock)
    delivery = await scene.start(job)
    return job, Settlement(delivery.lease, Succeeded())


@by_mode
async def test_the_first_job_takes_the_lock_and_runs(scene: Scene, lock: UniqueLock) -> None:
    job = _job(scene, lock)
    await scene.finish(await scene.start(job))
    assert await scene.state(job.id) is JobState.SUCCEEDED


@by_mode
async def test_other_keys_are_not_touched(scene: Scene, lock: UniqueLock) -> None:
    first = await scene.put(_job(scene, lock))
    second = await scene.put(scene.job(queue="u", unique=UniqueLock("other", lock.mode, lock.window_ms)))
    assert await scene.states([first, second]) == [JobState.READY] * 2


@pytest.mark.parametrize("state", [*WAITING, JobState.RUNNING])
async def test_reject_refuses_while_the_holder_waits_or_runs(scene: Scene, state: JobState) -> None:
    holder = await scene.reach(state, _job(scene, REJECT))
    second = _job(scene, REJECT)
    answer = await scene.offer(second)
    assert (answer.id, answer.duplicate_of) == (second.id, holder)
    assert await scene.state(second.id) is None
    assert await scene.state(holder) is state


@pytest.mark.parametrize("state", TERMINAL)
async def test_reject_accepts_when_the_holder_is_complete(scene: Scene, state: JobState) -> None:
    await scene.reach(state, _job(scene, REJECT))
    second = await scene.put(_job(scene, REJECT))
    assert (await scene.offer(_job(scene, REJECT))).duplicate_of == second


async def test_reject_refuses_while_the_holder_waits_for_its_retry(scene: Scene) -> None:
    delivery = await scene.start(_job(scene, REJECT))
    await scene.finish(delivery, RetryAt(scene.now + HOUR))
    assert (await scene.offer(_job(scene, REJECT))).duplicate_of == delivery.lease.job_id


async def test_reject_refuses_after_the_holders_worker_died(scene: Scene) -> None:
    delivery = await scene.start(_job(scene, REJECT))
    scene.clock.advance(LEASE_MS + 1)
    await scene.carrier.tend()
    assert (await scene.offer(_job(scene, REJECT))).duplicate_of == delivery.lease.job_id


@pytest.mark.parametrize("by", ["remove", "drain"])
async def test_removing_the_holder_frees_the_lock(scene: Scene, by: str) -> None:
    holder = await scene.put(_job(scene, REJECT))
    if by == "remove":
        await scene.carrier.remove([holder])
    else:
        await scene.carrier.drain("u")
    await scene.put(_job(scene, REJECT))


async def test_a_batch_with_one_lock_accepts_the_first(scene: Scene) -> None:
    jobs = [_job(scene, REJECT) for _ in range(3)]
    answers = await scene.carrier.enqueue(jobs)
    assert [answer.duplicate_of for answer in answers] == [None, jobs[0].id, jobs[0].id]


async def test_of_concurrent_enqueues_with_one_lock_one_is_accepted(scene: Scene, store: Store) -> None:
    jobs = [_job(scene, REJECT) for _ in range(20)]
    async with store.broker() as other:
        answers = await asyncio.gather(
            *((scene.carrier, other)[number % 2].enqueue([job]) for number, job in enumerate(jobs))
        )
    assert sum(answer.duplicate_of is None for [answer] in answers) == 1
    assert await scene.count(JobState.READY, "u") == 1


async def test_a_stale_settle_does_not_free_the_lock(scene: Scene) -> None:
    """Promise 3: superseded means that nothing changed."""
    delivery = await scene.start(_job(scene, REJECT))
    scene.clock.advance(LEASE_MS + 1)
    await scene.carrier.tend()
    assert not await scene.settle(delivery, Succeeded())
    assert (await scene.offer(_job(scene, REJECT))).duplicate_of == delivery.lease.job_id


@pytest.mark.parametrize("state", RETRYABLE)
async def test_a_job_retried_by_hand_does_not_take_the_lock_again(scene: Scene, state: JobState) -> None:
    first = await scene.reach(state, _job(scene, REJECT))
    second = await scene.put(_job(scene, REJECT))
    assert await scene.carrier.retry([first]) == [True]
    assert (await scene.offer(_job(scene, REJECT))).duplicate_of == second
    for delivery in await scene.take(queue="u"):
        await scene.finish(delivery)
    assert await scene.states([first, second]) == [JobState.SUCCEEDED] * 2


async def test_the_end_of_a_job_that_lost_the_lock_does_not_free_it(scene: Scene) -> None:
    first = await scene.reach(JobState.FAILED, _job(scene, REJECT))
    second = await scene.put(_job(scene, REJECT))
    await scene.carrier.retry([first])
    await scene.carrier.cancel([first])
    await scene.carrier.remove([first])
    assert (await scene.offer(_job(scene, REJECT))).duplicate_of == second


@pytest.mark.parametrize("state", [*WAITING, JobState.RUNNING, *TERMINAL])
async def test_throttle_refuses_within_the_window_whatever_became_of_the_holder(
    scene: Scene, state: JobState
) -> None:
    enqueued = scene.now
    holder = await scene.reach(state, _job(scene, THROTTLE))
    scene.clock.advance(enqueued + MINUTE - 1 - scene.now)
    assert (await scene.offer(_job(scene, THROTTLE))).duplicate_of == holder
    scene.clock.advance(1)
    second = await scene.put(_job(scene, THROTTLE))
    scene.clock.advance(MINUTE - 1)
    assert (await scene.offer(_job(scene, THROTTLE))).duplicate_of == second


async def test_throttle_refuses_within_the_window_after_the_holder_was_removed(scene: Scene) -> None:
    holder = await scene.put(_job(scene, THROTTLE))
    await scene.carrier.remove([holder])
    assert (await scene.offer(_job(scene, THROTTLE))).duplicate_of == holder
    scene.clock.advance(MINUTE)
    await scene.put(_job(scene, THROTTLE))


async def test_a_throttled_job_does_not_prolong_the_window(scene: Scene) -> None:
    holder = await scene.put(_job(scene, THROTTLE))
    for _ in range(3):
        scene.clock.advance(15 * SECOND)
        assert (await scene.offer(_job(scene, THROTTLE))).duplicate_of == holder
    scene.clock.advance(15 * SECOND)
    await scene.put(_job(scene, THROTTLE))


async def test_a_window_of_the_past_is_forgotten_by_maintenance_without_harm(scene: Scene) -> None:
    await scene.reach(JobState.SUCCEEDED, _job(scene, THROTTLE))
    scene.clock.advance(HOUR)
    await scene.carrier.tend()
    second = await scene.put(_job(scene, THROTTLE))
    await scene.carrier.tend()
    assert (await scene.offer(_job(scene, THROTTLE))).duplicate_of == second


@pytest.mark.parametrize("state", WAITING)
@pytest.mark.parametrize("lock", [DEBOUNCE, KEEP_LAST], ids=lambda lock: lock.mode)
async def test_debounce_and_keep_last_replace_a_waiting_holder(
    scene: Scene, lock: UniqueLock, state: JobState
) -> None:
    holder = await scene.reach(state, _job(scene, lock))
    second = await scene.put(_job(scene, lock))
    record = await scene.record(holder)
    assert (record.state, record.finished_ms) == (JobState.CANCELLED, scene.now)
    assert record.reason == f"replaced by {second}"
    assert await scene.take_ids(queue="u") == [second]


@pytest.mark.parametrize("lock", [DEBOUNCE, KEEP_LAST], ids=lambda lock: lock.mode)
async def test_a_burst_leaves_only_its_last_job(scene: Scene, lock: UniqueLock) -> None:
    jobs = [_job(scene, lock, due=10 * SECOND) for _ in range(10)]
    for job in jobs[:5]:
        await scene.put(job)
    await scene.carrier.enqueue(jobs[5:])
    scene.clock.advance(10 * SECOND)
    assert await scene.take_ids(queue="u") == [jobs[-1].id]
    assert await scene.states([job.id for job in jobs[:-1]]) == [JobState.CANCELLED] * 9


async def test_debounce_replaces_a_holder_that_waits_for_its_retry(scene: Scene) -> None:
    delivery = await scene.start(_job(scene, DEBOUNCE))
    await scene.finish(delivery, RetryAt(scene.now + HOUR))
    second = await scene.put(_job(scene, DEBOUNCE))
    assert await scene.state(delivery.lease.job_id) is JobState.CANCELLED
    assert await scene.take_ids(queue="u") == [second]


async def test_debounce_lets_a_running_holder_go_on_beside_the_new_one(scene: Scene) -> None:
    holder, end = await _running(scene, DEBOUNCE)
    second = await scene.put(_job(scene, DEBOUNCE))
    assert await scene.states([holder.id, second]) == [JobState.RUNNING, JobState.READY]
    third = await scene.put(_job(scene, DEBOUNCE))
    assert await scene.state(second) is JobState.CANCELLED, "the second one was the new holder"
    assert (await scene.carrier.settle([end]))[0].applied
    fourth = await scene.put(_job(scene, DEBOUNCE))
    assert await scene.state(third) is JobState.CANCELLED, "the end of the first one did not free the lock"
    assert await scene.state(fourth) is JobState.READY


@pytest.mark.parametrize("state", TERMINAL)
async def test_debounce_accepts_beside_a_complete_holder(scene: Scene, state: JobState) -> None:
    holder = await scene.reach(state, _job(scene, DEBOUNCE))
    before = await scene.record(holder)
    await scene.put(_job(scene, DEBOUNCE))
    assert await scene.record(holder) == before


async def test_keep_last_holds_the_new_one_while_one_runs(scene: Scene) -> None:
    await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST))
    record = await scene.record(held)
    assert (record.state, record.due_ms) == (JobState.SCHEDULED, None)
    scene.clock.advance(LEASE_MS - 1)
    await scene.carrier.tend()
    assert await scene.take(queue="u") == []
    assert await scene.state(held) is JobState.SCHEDULED


@pytest.mark.parametrize("outcome", ENDINGS, ids=lambda outcome: type(outcome).__name__)
async def test_keep_last_starts_the_held_one_at_the_end_of_the_holder(scene: Scene, outcome: Outcome) -> None:
    """Promise 2: the held job is started, however the one before it ended."""
    _, end = await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST))
    await scene.carrier.settle([Settlement(end.lease, outcome)])
    assert await scene.state(held) is JobState.READY
    assert await scene.take_ids(queue="u") == [held]


async def test_keep_last_starts_the_held_one_when_the_holder_is_cancelled_by_its_return(scene: Scene) -> None:
    holder, _ = await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST))
    await scene.carrier.cancel([holder.id])
    assert await scene.state(held) is JobState.SCHEDULED
    await scene.carrier.surrender(WorkerId("w"), started=None)
    assert await scene.states([holder.id, held]) == [JobState.CANCELLED, JobState.READY]


async def test_keep_last_starts_the_held_one_when_the_holder_dies_with_a_cancel_asked_for(
    scene: Scene,
) -> None:
    holder, _ = await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST))
    await scene.carrier.cancel([holder.id])
    scene.clock.advance(LEASE_MS + 1)
    await scene.carrier.tend()
    assert await scene.states([holder.id, held]) == [JobState.CANCELLED, JobState.READY]


@pytest.mark.needs("one_store")
@pytest.mark.parametrize("by", ["cancel", "remove", "drain"])
async def test_keep_last_starts_the_held_one_when_the_returned_holder_is_dropped(
    scene: Scene, by: str
) -> None:
    _, end = await _running(scene, KEEP_LAST)
    held = await scene.put(scene.job(queue="elsewhere", unique=KEEP_LAST))
    await scene.carrier.settle([Settlement(end.lease, Released())])
    assert await scene.state(held) is JobState.SCHEDULED
    match by:
        case "cancel":
            await scene.carrier.cancel([end.lease.job_id])
        case "remove":
            await scene.carrier.remove([end.lease.job_id])
        case _:
            await scene.carrier.drain("u")
    assert await scene.state(held) is JobState.READY
    assert await scene.take_ids(queue="elsewhere") == [held]


async def test_keep_last_keeps_only_the_last(scene: Scene) -> None:
    _, end = await _running(scene, KEEP_LAST)
    held = [await scene.put(_job(scene, KEEP_LAST)) for _ in range(4)]
    assert await scene.states(held) == [JobState.CANCELLED] * 3 + [JobState.SCHEDULED]
    assert (await scene.record(held[0])).reason == f"replaced by {held[1]}"
    await scene.carrier.settle([end])
    assert await scene.take_ids(queue="u") == held[-1:]


async def test_keep_last_makes_the_held_one_the_holder(scene: Scene) -> None:
    _, end = await _running(scene, KEEP_LAST)
    second = await scene.put(_job(scene, KEEP_LAST))
    await scene.carrier.settle([end])
    running = await scene.take_one(queue="u")
    assert running.lease.job_id == second
    third = await scene.put(_job(scene, KEEP_LAST))
    assert await scene.state(third) is JobState.SCHEDULED
    await scene.finish(running)
    assert await scene.take_ids(queue="u") == [third]


async def test_keep_last_respects_the_held_ones_own_due_time(scene: Scene) -> None:
    _, end = await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST, due=20 * SECOND))
    await scene.carrier.settle([end])
    record = await scene.record(held)
    assert (record.state, record.due_ms) == (JobState.SCHEDULED, scene.now + 20 * SECOND)
    scene.clock.advance(20 * SECOND)
    assert await scene.take_ids(queue="u") == [held]


async def test_keep_last_holds_past_the_due_time_while_one_runs(scene: Scene) -> None:
    _, end = await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST, due=SECOND))
    scene.clock.advance(10 * SECOND)
    assert await scene.take(queue="u") == []
    assert (await scene.carrier.tend()).promoted == 0
    await scene.carrier.settle([end])
    assert await scene.take_ids(queue="u") == [held]


@pytest.mark.parametrize("by", ["cancel", "remove"])
async def test_a_held_job_can_be_dropped(scene: Scene, by: str) -> None:
    _, end = await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST))
    if by == "cancel":
        [answer] = await scene.carrier.cancel([held])
        assert answer.state is JobState.CANCELLED
    else:
        assert await scene.carrier.remove([held]) == [True]
    await scene.carrier.settle([end])
    assert await scene.take(queue="u") == []
    await scene.put(_job(scene, KEEP_LAST))


async def test_a_held_job_may_expire(scene: Scene) -> None:
    _, end = await _running(scene, KEEP_LAST)
    held = await scene.put(scene.job(queue="u", unique=KEEP_LAST, expires=SECOND))
    scene.clock.advance(SECOND)
    assert (await scene.carrier.tend()).expired == 1
    assert await scene.state(held) is JobState.EXPIRED
    await scene.carrier.settle([end])
    assert await scene.take(queue="u") == []


async def test_a_held_job_can_be_promoted_by_hand(scene: Scene) -> None:
    _, end = await _running(scene, KEEP_LAST)
    held = await scene.put(_job(scene, KEEP_LAST))
    assert await scene.carrier.promote([held]) == [True]
    assert await scene.take_ids(queue="u") == [held]
    await scene.carrier.settle([end])
    assert await scene.take(queue="u") == []


async def test_a_batch_of_settlements_starts_every_held_job(scene: Scene) -> None:
    locks = [UniqueLock(f"tenant-{number}", UniqueMode.KEEP_LAST) for number in range(20)]
    await scene.carrier.enqueue([_job(scene, lock) for lock in locks])
    running = await scene.take(queue="u")
    held = [await scene.put(_job(scene, lock)) for lock in locks]
    await scene.carrier.settle([Settlement(delivery.lease, Succeeded()) for delivery in running])
    assert sorted(await scene.take_ids(queue="u")) == sorted(held)


async def test_modes_share_one_space_of_keys(scene: Scene) -> None:
    """The mode is the new job's; the lock is the key's."""
    holder = await scene.put(_job(scene, DEBOUNCE))
    assert (await scene.offer(_job(scene, REJECT))).duplicate_of == holder
    second = await scene.put(_job(scene, DEBOUNCE))
    assert await scene.state(holder) is JobState.CANCELLED
    assert (await scene.offer(_job(scene, THROTTLE))).duplicate_of == second


async def test_an_idempotency_key_is_looked_at_before_the_lock(scene: Scene) -> None:
    """A repeated request must not replace the waiting job by itself."""
    first = await scene.put(scene.job(queue="u", key="k", unique=DEBOUNCE))
    assert (await scene.offer(scene.job(queue="u", key="k", unique=DEBOUNCE))).duplicate_of == first
    assert await scene.state(first) is JobState.READY


async def test_a_refused_job_takes_no_key(scene: Scene) -> None:
    """Refused means that nothing of it is kept."""
    holder = await scene.put(_job(scene, REJECT))
    assert (await scene.offer(scene.job(key="k", unique=REJECT))).duplicate_of == holder
    await scene.put(scene.job(key="k"))


async def test_a_repeat_of_a_replaced_job_replaces_nothing(scene: Scene) -> None:
    """Idempotence: the caller of the first job repeats its call after the second one came."""
    first, second = _job(scene, DEBOUNCE), _job(scene, DEBOUNCE)
    await scene.put(first)
    await scene.put(second)
    await scene.offer(first)
    assert await scene.states([first.id, second.id]) == [JobState.CANCELLED, JobState.READY]


@pytest.mark.parametrize("mode", [UniqueMode.REJECT, UniqueMode.DEBOUNCE, UniqueMode.KEEP_LAST])
@pytest.mark.parametrize("delay", [None, HOUR])
async def test_a_holder_that_expired_while_nobody_looked_holds_nothing(
    scene: Scene, mode: UniqueMode, delay: int | None
) -> None:
    """No worker ran, so nobody has ended it."""
    lock = UniqueLock("u", mode)
    gone = await scene.put(scene.job(unique=lock, due=delay, expires=SECOND))
    scene.clock.advance(SECOND)
    job_id = await scene.put(scene.job(unique=lock))
    assert await scene.take_ids() == [job_id]
    assert await scene.state(gone) is JobState.EXPIRED


async def test_who_was_held_back_follows_a_holder_that_expired_while_nobody_looked(scene: Scene) -> None:
    running = await scene.start(scene.job(unique=KEEP_LAST))
    held = await scene.put(scene.job(unique=KEEP_LAST, expires=SECOND))
    await scene.finish(running)
    scene.clock.advance(SECOND)
    job_id = await scene.put(scene.job(unique=REJECT))
    assert await scene.take_ids() == [job_id]
    assert await scene.state(held) is JobState.EXPIRED


@pytest.mark.parametrize("lock", [REJECT, DEBOUNCE], ids=lambda lock: lock.mode)
async def test_many_unique_jobs_of_one_call_are_judged_each_against_those_before_it(
    scene: Scene, lock: UniqueLock
) -> None:
    """Whatever is looked up for all of them at once must know what the call itself has brought."""
    names = [f"tenant-{number % 50}" for number in range(200)]
    jobs = [scene.job(queue="u", unique=UniqueLock(name, lock.mode)) for name in names]
    answers = await scene.carrier.enqueue(jobs)
    if lock is REJECT:
        assert [one.duplicate_of for one in answers] == [None] * 50 + [job.id for job in jobs[:50]] * 3
        left = [job.id for job in jobs[:50]]
    else:
        assert [one.duplicate_of for one in answers] == [None] * 200
        left = [job.id for job in jobs[150:]]
    assert scene.ordered(await scene.take_ids(200, queue="u")) == scene.ordered(left)
