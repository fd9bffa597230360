"""Handing back: released by the worker, surrendered by its supervisor."""

from __future__ import annotations

import pytest

from headway.brokers.base import Settlement
from headway.job import (
    Cancelled,
    Delivery,
    Expired,
    Failed,
    JobState,
    Lease,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    WorkerId,
)
from tests.conformance.scene import LEASE_MS, MINUTE, Scene

W = WorkerId("w")


async def test_a_released_job_goes_to_the_head_and_its_attempt_is_given_back(scene: Scene) -> None:
    ids = await scene.put_many(3)
    delivery = await scene.take_one()
    assert await scene.settle(delivery, Released())
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.attempt, record.epoch, record.worker) == (JobState.READY, 0, 1, None)
    assert scene.ordered(await scene.take_ids()) == scene.ordered(ids)


@pytest.mark.needs("priority")
@pytest.mark.needs("one_store")
async def test_a_released_job_keeps_its_priority(scene: Scene) -> None:
    low = await scene.start(scene.job(priority=1))
    high = await scene.put(scene.job(priority=8))
    await scene.finish(low, Released())
    assert await scene.take_ids() == [high, low.lease.job_id]


async def test_a_job_may_be_released_any_number_of_times(scene: Scene) -> None:
    await scene.put()
    for epoch in range(1, 8):
        delivery = await scene.take_one()
        assert (delivery.attempt, delivery.lease.epoch, delivery.crashes) == (1, epoch, 0)
        assert await scene.settle(delivery, Released())


async def test_a_release_keeps_the_history_of_earlier_attempts(scene: Scene) -> None:
    await scene.finish(await scene.start(), RetryAt(scene.now, b"history"))
    await scene.finish(await scene.take_one(), Released())
    delivery = await scene.take_one()
    assert (delivery.history, delivery.attempt) == (b"history", 2)


@pytest.mark.needs("cancel_running")
@pytest.mark.parametrize(
    "outcome", [Released(), RetryAt(0), RetryAt(2**42, b"h"), RetryAt(0, counted=False)], ids=repr
)
async def test_a_job_handed_back_after_a_cancel_was_asked_for_is_cancelled(
    scene: Scene, outcome: Outcome
) -> None:
    delivery = await scene.start()
    await scene.carrier.cancel([delivery.lease.job_id], reason="stop")
    assert await scene.settle(delivery, outcome)
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.finished_ms, record.reason) == (JobState.CANCELLED, scene.now, "stop")
    assert await scene.take() == []


@pytest.mark.needs("cancel_running")
@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Succeeded(b"done"), JobState.SUCCEEDED),
        (Failed(b"h"), JobState.FAILED),
        (Cancelled("on request"), JobState.CANCELLED),
        (Expired(), JobState.EXPIRED),
    ],
)
async def test_a_terminal_outcome_stands_although_a_cancel_was_asked_for(
    scene: Scene, outcome: Outcome, state: JobState
) -> None:
    delivery = await scene.start()
    await scene.carrier.cancel([delivery.lease.job_id])
    assert await scene.settle(delivery, outcome)
    assert await scene.state(delivery.lease.job_id) is state


async def _prefetch(scene: Scene, count: int) -> list[Delivery]:
    await scene.put_many(count)
    return await scene.take(count)


@pytest.mark.needs("pull")
@pytest.mark.parametrize("forget", [True, False])
async def test_a_surrender_takes_back_all_that_a_worker_holds(scene: Scene, forget: bool) -> None:
    """Promise 5: a supervisor need not wait for the lease of a child that it saw die."""
    deliveries = await _prefetch(scene, 5)
    assert await scene.carrier.surrender(W, started=None, forget=forget) == 5
    assert await scene.carrier.workers() == []
    for delivery in deliveries:
        record = await scene.record(delivery.lease.job_id)
        assert (record.state, record.attempt, record.crashes, record.worker) == (JobState.READY, 1, 1, None)


@pytest.mark.needs("pull")
async def test_only_jobs_that_were_started_count_a_crash(scene: Scene) -> None:
    """Promise 5: jobs that merely lay in the dead worker's hands are not suspects."""
    deliveries = await _prefetch(scene, 4)
    ids = [delivery.lease.job_id for delivery in deliveries]
    assert await scene.carrier.surrender(W, started=[ids[1], ids[3]]) == 4
    records = [await scene.record(job_id) for job_id in ids]
    assert [(record.attempt, record.crashes) for record in records] == [(0, 0), (1, 1), (0, 0), (1, 1)]
    assert {record.state for record in records} == {JobState.READY}


@pytest.mark.needs("pull")
async def test_a_surrender_with_nothing_started_counts_no_crash(scene: Scene) -> None:
    [delivery] = await _prefetch(scene, 1)
    assert await scene.carrier.surrender(W, started=[]) == 1
    record = await scene.record(delivery.lease.job_id)
    assert (record.attempt, record.crashes, record.epoch) == (0, 0, 1)


@pytest.mark.needs("pull")
async def test_a_surrender_ignores_started_jobs_that_are_not_the_workers(scene: Scene) -> None:
    """What the supervisor believes was started may be settled, or run elsewhere, by now."""
    others = await scene.start(scene.job(queue="a"), worker="other")
    done = await scene.reach(JobState.SUCCEEDED, scene.job(queue="b"))
    waiting = await scene.put(scene.job(queue="c"))
    own = await scene.start()
    started = [others.lease.job_id, done, waiting, own.lease.job_id, scene.job().id]
    assert await scene.carrier.surrender(W, started=started) == 1
    assert await scene.states(started[:4]) == [
        JobState.RUNNING,
        JobState.SUCCEEDED,
        JobState.READY,
        JobState.READY,
    ]
    assert (await scene.record(waiting)).crashes == 0
    assert await scene.settle(others, Succeeded())


@pytest.mark.needs("pull", "one_store")
async def test_surrendered_jobs_come_back_at_the_head_in_their_order(scene: Scene) -> None:
    """Promise 8: FIFO also after the death of a worker."""
    ids = await scene.put_many(9)
    await scene.take(5)
    await scene.carrier.surrender(W, started=ids[:2])
    assert await scene.take_ids(worker="other") == ids


@pytest.mark.needs("fifo", "pull")
@pytest.mark.parametrize("way", ["release", "surrender", "reclaim"])
async def test_the_old_order_is_that_of_the_queue_whatever_the_ids(scene: Scene, way: str) -> None:
    """Ids are made before the enqueue, on hosts whose clocks differ, and a retried job goes to the tail."""
    jobs = [scene.job() for _ in range(200)]
    shuffled = [jobs[n * 77 % 200] for n in range(200)]
    await scene.carrier.enqueue(shuffled[:150])
    for one in shuffled[150:]:
        await scene.carrier.enqueue([one])
    deliveries = await scene.take(200)
    match way:
        case "release":
            for delivery in reversed(deliveries):
                await scene.settle(delivery, Released())
        case "surrender":
            await scene.carrier.surrender(deliveries[0].lease.worker, started=())
        case _:
            scene.clock.advance(LEASE_MS + 1)
            await scene.carrier.tend()
    assert await scene.take_ids(200) == [one.id for one in shuffled]


@pytest.mark.needs("pull")
async def test_a_surrender_of_a_worker_that_holds_nothing_takes_nothing(scene: Scene) -> None:
    assert await scene.carrier.surrender(WorkerId("nobody"), started=None) == 0
    await scene.finish(await scene.start())
    assert await scene.carrier.surrender(W, started=None) == 0


@pytest.mark.needs("pull")
async def test_a_surrender_twice_counts_once(scene: Scene) -> None:
    [delivery] = await _prefetch(scene, 1)
    assert await scene.carrier.surrender(W, started=None) == 1
    assert await scene.carrier.surrender(W, started=None) == 0
    assert (await scene.record(delivery.lease.job_id)).crashes == 1


@pytest.mark.needs("pull")
async def test_the_outcome_of_a_surrendered_job_is_superseded(scene: Scene) -> None:
    """Promise 3: also when the child was not dead after all."""
    [delivery] = await _prefetch(scene, 1)
    await scene.carrier.surrender(W, started=None)
    assert not await scene.settle(delivery, Succeeded())
    current = await scene.take_one()
    assert current.lease == Lease(delivery.lease.job_id, W, 2)
    assert not await scene.settle(delivery, Succeeded())
    assert await scene.settle(current, Succeeded())


@pytest.mark.needs("pull")
async def test_a_surrender_after_the_lease_ran_out_counts_one_crash(scene: Scene) -> None:
    [delivery] = await _prefetch(scene, 1)
    scene.clock.advance(LEASE_MS + MINUTE)
    await scene.carrier.surrender(W, started=None)
    await scene.carrier.tend()
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.crashes, record.attempt) == (JobState.READY, 1, 1)


@pytest.mark.needs("pull")
@pytest.mark.needs("cancel_running")
@pytest.mark.parametrize("started", [True, False])
async def test_a_surrendered_job_whose_cancel_was_asked_for_is_cancelled(scene: Scene, started: bool) -> None:
    [delivery] = await _prefetch(scene, 1)
    job_id = delivery.lease.job_id
    await scene.carrier.cancel([job_id], reason="stop")
    await scene.carrier.surrender(W, started=[job_id] if started else [])
    record = await scene.record(job_id)
    assert (record.state, record.reason) == (JobState.CANCELLED, "stop")
    assert await scene.take() == []


@pytest.mark.needs("pull")
async def test_a_worker_may_claim_again_after_a_surrender(scene: Scene) -> None:
    """A restarted child under the same name starts with a lease of its own."""
    await _prefetch(scene, 2)
    await scene.carrier.surrender(W, started=None, forget=False)
    deliveries = await scene.take()
    assert [delivery.crashes for delivery in deliveries] == [1, 1]
    scene.clock.advance(LEASE_MS - 1)
    [beat] = await scene.carrier.heartbeat([W], LEASE_MS)
    assert beat.held
    results = await scene.carrier.settle([Settlement(delivery.lease, Succeeded()) for delivery in deliveries])
    assert all(result.applied for result in results)


@pytest.mark.needs("pull")
async def test_a_thousand_jobs_are_surrendered_at_once(scene: Scene) -> None:
    deliveries = await _prefetch(scene, 1000)
    started = [delivery.lease.job_id for delivery in deliveries[:10]]
    assert await scene.carrier.surrender(W, started=started) == 1000
    assert await scene.count(JobState.READY) == 1000
