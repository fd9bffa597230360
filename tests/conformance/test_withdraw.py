"""Moving waiting jobs from carrier to carrier: withdrawn here as a whole, enqueued there with what they went through."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from headway.brokers.base import JobQuery, KeyIndex, Mover, QueueWant, Retention
from headway.job import (
    Failed,
    JobId,
    JobRecord,
    JobState,
    NewJob,
    RetryAt,
    Succeeded,
    UniqueLock,
    UniqueMode,
    WorkerId,
)
from tests.conformance.scene import HOUR, LEASE_MS, MINUTE, SECOND, TERMINAL, WAITING, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.conformance.store import Store

pytestmark = pytest.mark.needs("one_store")

REASON = "moved to push by move 1"
LOCKS = [
    UniqueLock("u|1", UniqueMode.REJECT),
    UniqueLock("u|1", UniqueMode.THROTTLE, MINUTE),
    UniqueLock("u|1", UniqueMode.DEBOUNCE),
    UniqueLock("u|1", UniqueMode.KEEP_LAST),
]


@pytest.fixture
async def there(store: Store, scene: Scene) -> AsyncIterator[Scene]:
    """Another carrier of the same kind, to which jobs are moved."""
    async with store.broker(namespace=store.namespace + "-there") as other:
        yield Scene(other, scene.clock)


def _mover(scene: Scene) -> Mover:
    mover = scene.carrier.capabilities.mover
    assert mover is not None
    return mover


def _keys(scene: Scene) -> KeyIndex:
    keys = scene.carrier.capabilities.keys
    assert keys is not None
    return keys


async def _withdraw(scene: Scene, *ids: JobId, reason: str = REASON) -> list[JobRecord | None]:
    return await _mover(scene).withdraw(ids, reason)


async def _move(here: Scene, there: Scene, *ids: JobId) -> None:
    records = await _withdraw(here, *ids)
    jobs = [record.as_new() for record in records if record is not None]
    assert len(jobs) == len(ids)
    answers = await there.carrier.enqueue(jobs)
    assert [answer.duplicate_of for answer in answers] == [None] * len(ids)
    assert await here.carrier.remove(ids) == [True] * len(ids)


def _whole(record: JobRecord) -> JobRecord:
    """Leave out what is counted anew for each carrier, and what not each says: whether it may have a log."""
    return replace(record, epoch=0, logged=True)


@pytest.mark.parametrize("state", WAITING)
async def test_a_waiting_job_is_ended_and_told_whole(scene: Scene, state: JobState) -> None:
    job = scene.job(payload=bytes(range(256)) * 20, priority=5, expires=2 * HOUR, key="k|\n")
    await scene.reach(state, job)
    before = await scene.record(job.id)
    [told] = await _withdraw(scene, job.id)
    assert told is not None
    assert _whole(told) == _whole(before)
    assert told.epoch == before.epoch
    assert (before.state, before.payload, before.key) == (state, job.payload, "k|\n")
    ended = await scene.record(job.id)
    assert (ended.state, ended.reason, ended.finished_ms) == (JobState.CANCELLED, REASON, scene.now)
    assert (ended.payload, ended.key, ended.withdrawn) == (job.payload, "k|\n", True)
    scene.clock.advance(HOUR)
    assert await scene.take() == []


@pytest.mark.needs("unique")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.mode)
@pytest.mark.parametrize("key", [None, "k|1"])
async def test_a_record_tells_the_unique_key(scene: Scene, lock: UniqueLock, key: str | None) -> None:
    job = scene.job(unique=lock, key=key)
    await scene.put(job)
    assert (await scene.record(job.id)).unique == lock
    [before] = await _withdraw(scene, job.id)
    assert before is not None
    assert (before.unique, before.key) == (lock, key)
    ended = await scene.record(job.id)
    assert (ended.unique, ended.key, ended.withdrawn) == (lock, key, True)


@pytest.mark.needs("unique")
async def test_whoever_waits_for_the_end_of_a_holder_has_a_unique_key(scene: Scene) -> None:
    delivery = await scene.start(scene.job(unique=LOCKS[3]))
    held = await scene.put(scene.job(unique=LOCKS[3]))
    assert (await scene.record(held)).unique == LOCKS[3]
    assert (await scene.record(delivery.lease.job_id)).unique == LOCKS[3]
    await scene.finish(delivery)
    assert (await scene.record(held)).unique == LOCKS[3]
    assert (await scene.record(delivery.lease.job_id)).unique is None


async def test_what_runs_or_has_ended_stays(scene: Scene) -> None:
    ids = [await scene.reach(state, scene.job(queue=state)) for state in (JobState.RUNNING, *TERMINAL)]
    before = [await scene.record(job_id) for job_id in ids]
    assert await _withdraw(scene, *ids, scene.job().id) == [None] * (len(ids) + 1)
    assert [await scene.record(job_id) for job_id in ids] == before
    assert before[0].cancel_requested is False


async def test_a_job_that_was_cancelled_for_the_same_reason_was_not_withdrawn(scene: Scene) -> None:
    job_id = await scene.put()
    await scene.carrier.cancel([job_id], REASON)
    assert await _withdraw(scene, job_id) == [None]
    assert (await scene.record(job_id)).withdrawn is False


async def test_an_overdue_job_stays_and_expires(scene: Scene) -> None:
    job_id = await scene.put(scene.job(expires=SECOND))
    scene.clock.advance(SECOND)
    assert await _withdraw(scene, job_id) == [None]
    assert await scene.take() == []
    assert await scene.state(job_id) is JobState.EXPIRED


async def test_a_job_between_its_attempts_takes_them_along(scene: Scene, there: Scene) -> None:
    delivery = await scene.start(scene.job(key="k"))
    await scene.finish(delivery, RetryAt(scene.now + MINUTE, b"history"))
    [before] = await _withdraw(scene, delivery.lease.job_id)
    assert before is not None
    assert (before.attempt, before.crashes, before.history) == (1, 0, b"history")
    assert (before.state, before.due_ms) == (JobState.SCHEDULED, scene.now + MINUTE)
    await there.put(before.as_new())
    record = await there.record(before.id)
    assert _whole(record) == replace(_whole(before), started_ms=record.started_ms)
    scene.clock.advance(MINUTE)
    again = await there.take_one()
    assert (again.attempt, again.crashes, again.history) == (2, 0, b"history")
    assert again.lease.epoch > delivery.lease.epoch
    await there.finish(again, Failed(b"history 2"))
    failed = await there.record(before.id)
    assert (failed.state, failed.attempt, failed.history) == (JobState.FAILED, 2, b"history 2")


async def test_crashes_are_taken_along(scene: Scene, there: Scene) -> None:
    delivery = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    await scene.carrier.tend()
    again = await scene.take_one()
    assert again.crashes == 1
    await scene.finish(again, RetryAt(scene.now + MINUTE, b"h"))
    await _move(scene, there, delivery.lease.job_id)
    scene.clock.advance(MINUTE)
    there_again = await there.take_one()
    assert (there_again.attempt, there_again.crashes) == (3, 1)


async def test_the_reason_names_the_move_and_repeats_its_answer(scene: Scene) -> None:
    """Whoever goes on with an interrupted move is told what it began."""
    ids = [await scene.put(scene.job(key="k")), await scene.put(), await scene.reach(JobState.SCHEDULED)]
    first = await _withdraw(scene, *ids)
    assert None not in first
    scene.clock.advance(SECOND)
    assert await _withdraw(scene, *ids) == first
    assert await _withdraw(scene, *ids, reason="another move") == [None] * 3
    page = await scene.carrier.list(JobQuery(states=(JobState.CANCELLED,)))
    assert {job.id for job in page.jobs if job.withdrawn and job.reason == REASON} == set(ids)


async def test_withdrawn_jobs_are_kept_as_long_as_cancelled_ones(scene: Scene) -> None:
    job_id = await scene.put()
    await _withdraw(scene, job_id)
    scene.clock.advance(24 * HOUR - 1)
    await scene.carrier.tend()
    assert (await _withdraw(scene, job_id))[0] is not None
    scene.clock.advance(HOUR + SECOND)
    await scene.carrier.tend()
    assert await scene.state(job_id) is None


async def test_a_withdrawn_job_is_kept_for_an_hour_at_least(store: Store) -> None:
    async with store.broker(retention=Retention(succeeded_ms=0)) as carrier:
        scene = Scene(carrier, store.clock)
        withdrawn = await scene.put_many(3)
        await _withdraw(scene, *withdrawn)
        scene.clock.advance(1)
        cancelled = await scene.reach(JobState.CANCELLED)
        scene.clock.advance(HOUR - 2)
        await carrier.tend()
        assert await scene.state(cancelled) is None
        assert None not in await _withdraw(scene, *withdrawn)
        scene.clock.advance(2 * MINUTE)
        await carrier.tend()
        assert await _withdraw(scene, *withdrawn) == [None] * 3


@pytest.mark.needs("cap_succeeded")
async def test_no_cap_drops_a_withdrawn_job(store: Store) -> None:
    """Were its record dropped while its move is interrupted, the job would be lost."""
    async with store.broker(retention=Retention(max_succeeded=2)) as carrier:
        scene = Scene(carrier, store.clock)
        withdrawn = await scene.put_many(4)
        await _withdraw(scene, *withdrawn)
        ended: list[JobId] = []
        for state in (JobState.CANCELLED, JobState.SUCCEEDED):
            for _ in range(3):
                scene.clock.advance(1)
                ended.append(await scene.reach(state))
        scene.clock.advance(2 * MINUTE)
        await carrier.tend()
        tended = await carrier.tend()
        assert tended.next_in_ms is None or tended.next_in_ms >= SECOND
        assert await scene.states(ended) == [None] * 4 + [JobState.SUCCEEDED] * 2
        assert None not in await _withdraw(scene, *withdrawn)
        assert await carrier.remove(withdrawn[:2]) == [True, True]
        late = await scene.reach(JobState.CANCELLED)
        scene.clock.advance(2 * MINUTE)
        await carrier.tend()
        assert await scene.states([*ended[-2:], late]) == [None, JobState.SUCCEEDED, JobState.CANCELLED]
        scene.clock.advance(25 * HOUR)
        await carrier.tend()
        assert await scene.states(withdrawn) == [None] * 4


async def test_an_idempotency_key_is_held_until_the_job_is_elsewhere(scene: Scene) -> None:
    first = await scene.put(scene.job(key="k"))
    await _withdraw(scene, first)
    assert await _keys(scene).find_held([scene.job(key="k")]) == [first]
    assert (await scene.offer(scene.job(key="k"))).duplicate_of == first
    await scene.carrier.remove([first])
    assert await _keys(scene).find_held([scene.job(key="k")]) == [None]
    second = await scene.put(scene.job(key="k"))
    assert (await scene.offer(scene.job(key="k"))).duplicate_of == second


async def test_a_key_holds_as_long_as_the_trace_of_its_job(store: Store) -> None:
    """However short records are kept: who enqueued under the key again would take the trace of a job away."""
    async with store.broker(retention=Retention(succeeded_ms=0)) as carrier:
        scene = Scene(carrier, store.clock)
        first = await scene.put(scene.job(key="k"))
        await _withdraw(scene, first)
        scene.clock.advance(MINUTE)
        assert await _keys(scene).find_held([scene.job(key="k")]) == [first]
        assert (await scene.offer(scene.job(key="k"))).duplicate_of == first
        assert None not in await _withdraw(scene, first)


@pytest.mark.needs("unique")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.mode)
async def test_a_unique_key_that_refuses_is_held_until_the_job_is_elsewhere(
    scene: Scene, lock: UniqueLock
) -> None:
    first = await scene.put(scene.job(unique=lock))
    await _withdraw(scene, first)
    if lock.mode.refuses:
        assert await _keys(scene).find_held([scene.job(unique=lock)]) == [first]
        assert (await scene.offer(scene.job(unique=lock))).duplicate_of == first
        [held] = await _keys(scene).enqueue_held([scene.job(unique=lock)])
        assert held is not None
        assert held.duplicate_of == first
        await scene.carrier.remove([first])
        scene.clock.advance(MINUTE)
    assert await _keys(scene).find_held([scene.job(unique=lock)]) == [None]
    second = await scene.put(scene.job(unique=lock))
    await scene.carrier.remove([first])
    assert await scene.state(second) is JobState.READY
    assert (await scene.record(second)).unique == lock


@pytest.mark.needs("unique")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.mode)
async def test_a_job_that_comes_back_is_not_in_its_own_way(
    scene: Scene, there: Scene, lock: UniqueLock
) -> None:
    job = scene.job(unique=lock, key="k")
    await scene.put(job)
    [before] = await _withdraw(scene, job.id)
    assert before is not None
    await there.put(before.as_new())  # and the mover dies before it removes the job here
    [back] = await _withdraw(there, job.id, reason="back")
    assert back is not None
    await scene.put(back.as_new())
    record = await scene.record(job.id)
    assert (record.state, record.key, record.unique) == (JobState.READY, "k", lock)
    assert await _keys(scene).find_held([scene.job(key="k"), scene.job(unique=lock)]) == [job.id, job.id]


@pytest.mark.needs("unique")
async def test_jobs_bound_by_a_holder_that_runs_stay(scene: Scene) -> None:
    """Elsewhere the one that is held back would run beside it."""
    lock = LOCKS[3]
    delivery = await scene.start(scene.job(unique=lock))
    held = await scene.put(scene.job(unique=lock))
    assert await _withdraw(scene, held) == [None]
    await scene.finish(delivery, RetryAt(scene.now + HOUR))
    assert await _withdraw(scene, held, delivery.lease.job_id) == [None, None]
    await scene.carrier.cancel([delivery.lease.job_id])
    [record] = await _withdraw(scene, held)
    assert record is not None
    assert (record.state, record.unique) == (JobState.READY, lock)


@pytest.mark.needs("unique")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.mode)
async def test_a_moved_job_keeps_its_keys(scene: Scene, there: Scene, lock: UniqueLock) -> None:
    job = scene.job(unique=lock, key="k")
    await scene.put(job)
    await _move(scene, there, job.id)
    assert (await there.record(job.id)).unique == lock
    assert await _keys(there).find_held([there.job(key="k"), there.job(unique=lock), there.job()]) == [
        job.id,
        job.id,
        None,
    ]


async def test_a_promoted_job_is_ready_elsewhere(scene: Scene, there: Scene) -> None:
    job_id = await scene.reach(JobState.SCHEDULED)
    await scene.carrier.promote([job_id])
    if (await scene.record(job_id)).due_ms is None:
        return
    [before] = await _withdraw(scene, job_id)
    assert before is not None
    await there.put(before.as_new())
    assert (await there.state(job_id)) is before.state


async def test_a_job_comes_back_to_where_it_was(scene: Scene, there: Scene) -> None:
    """Also where the record of the first move is still there, or the names of its tasks are not to be had again."""
    job = scene.job(key="k")
    await scene.put(job)
    [before] = await _withdraw(scene, job.id)
    assert before is not None
    await there.put(before.as_new())  # and the mover dies before it removes the job here
    [back] = await _withdraw(there, job.id, reason="back")
    assert back is not None
    await scene.put(back.as_new())
    assert await scene.state(job.id) is JobState.READY
    for _ in range(3):
        await _move(scene, there, job.id)
        await _move(there, scene, job.id)
    delivery = await scene.take_one()
    assert (delivery.lease.job_id, delivery.attempt, delivery.payload) == (job.id, 1, job.payload)
    await scene.finish(delivery)
    assert await there.state(job.id) is None


async def test_a_stalled_mover_does_not_bring_a_job_back(scene: Scene, there: Scene) -> None:
    job_id = await scene.put()
    [before] = await _withdraw(scene, job_id)
    assert before is not None
    moved = before.as_new()
    await there.put(moved)
    [again] = await _withdraw(there, job_id, reason="on")
    assert again is not None
    await there.offer(moved)  # late: it went on meanwhile
    assert await there.state(job_id) is JobState.CANCELLED
    assert await there.take() == []


async def test_a_repeated_enqueue_does_not_bring_a_withdrawn_job_back(scene: Scene) -> None:
    """Its producer did not hear the answer and comes again: the job lives elsewhere."""
    job = scene.job()
    await scene.put(job)
    await _withdraw(scene, job.id)
    await scene.offer(job)
    assert await scene.state(job.id) is JobState.CANCELLED
    assert await scene.take() == []


async def test_a_moved_job_is_enqueued_once_however_often_the_mover_comes(scene: Scene, there: Scene) -> None:
    job_id = await scene.put()
    [before] = await _withdraw(scene, job_id)
    assert before is not None
    for _ in range(3):
        await there.put(before.as_new())
    delivery = await there.take_one()
    await there.put(before.as_new())
    await there.finish(delivery)
    await there.put(before.as_new())
    assert await there.state(job_id) is JobState.SUCCEEDED
    assert await there.take() == []


async def test_a_withdrawn_job_is_not_retried_by_hand(scene: Scene) -> None:
    withdrawn, cancelled = await scene.put(), await scene.put()
    await _withdraw(scene, withdrawn)
    await scene.carrier.cancel([cancelled])
    assert await scene.carrier.retry([withdrawn, cancelled]) == [False, True]
    assert await scene.take_ids() == [cancelled]


async def test_thousands_are_withdrawn_in_their_order(scene: Scene) -> None:
    count = 1200 if scene.carrier.capabilities.pull else 60
    ids = await scene.put_many(count)
    records = await _withdraw(scene, *reversed(ids))
    assert [record.id if record else None for record in records] == ids[::-1]
    assert await scene.count(JobState.READY) == 0
    assert await scene.count(JobState.CANCELLED) == count
    assert await _withdraw(scene) == []


@pytest.mark.parametrize("seed", range(5))
async def test_each_job_is_run_or_withdrawn_never_both_never_neither(
    scene: Scene, store: Store, seed: int
) -> None:
    """Promises 2 and 3: many workers claim while jobs are withdrawn."""
    chance = random.Random(seed)
    count = 300 if scene.carrier.capabilities.pull else 40
    jobs = [
        scene.job(
            payload=b"%d" % number,
            key=f"k{number}" if number % 5 == 0 else None,
            due=1 if number % 7 == 0 else None,
        )
        for number in range(count)
    ]
    await scene.carrier.enqueue(jobs)
    scene.clock.advance(1)
    ran: list[JobId] = []
    withdrawn: list[JobId] = []

    async def work(at: Scene, worker: str) -> None:
        while taken := await at.take(chance.randint(1, 9), worker=worker):
            for delivery in taken:
                assert await at.settle(delivery, Succeeded())
                ran.append(delivery.lease.job_id)

    async def withdraw(at: Scene, mine: Sequence[NewJob]) -> None:
        left = [job.id for job in mine]
        chance.shuffle(left)
        while left:
            some, left = left[:7], left[7:]
            withdrawn.extend(record.id for record in await _withdraw(at, *some) if record is not None)

    async with store.broker() as other:
        at = (scene, Scene(other, scene.clock))
        await asyncio.gather(
            withdraw(at[0], jobs[: count // 2]),
            *(work(at[number % 2], f"w{number}") for number in range(4)),
            withdraw(at[1], jobs[count // 3 :]),
        )
        await work(at[0], "last")
    both = set(ran) & set(withdrawn)
    assert not both
    assert set(ran) | set(withdrawn) == {job.id for job in jobs}
    assert len(ran) == len(set(ran))
    states = dict(zip([job.id for job in jobs], await scene.states([job.id for job in jobs]), strict=True))
    assert {job_id for job_id, state in states.items() if state is JobState.SUCCEEDED} == set(ran)
    assert {job_id for job_id, state in states.items() if state is JobState.CANCELLED} == set(withdrawn)


@pytest.mark.needs("pull")
async def test_a_withdrawn_job_does_not_cost_its_queue_its_turn(scene: Scene) -> None:
    ids = await scene.put_many(310)
    await _withdraw(scene, *ids[:300])
    claimed = await scene.carrier.claim(
        [QueueWant("q", 10)], worker=WorkerId("w"), limit=10, lease_ms=LEASE_MS
    )
    assert [delivery.lease.job_id for delivery in claimed.deliveries] == ids[300:]
