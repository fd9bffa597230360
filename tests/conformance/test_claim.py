"""Claims: order, limits, wants, and what a delivery carries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import QueueWant
from headway.job import JobId, JobState, Lease, Released, Succeeded, WorkerId
from tests.conformance.scene import HOUR, LEASE_MS, MINUTE, SECOND, Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import Carrier
    from tests.conformance.store import Store


async def _claim(
    carrier: Carrier, wants: Sequence[tuple[str, int]], limit: int, worker: str = "w"
) -> list[JobId]:
    claimed = await carrier.claim(
        [QueueWant(queue, most) for queue, most in wants],
        worker=WorkerId(worker),
        limit=limit,
        lease_ms=LEASE_MS,
    )
    return [delivery.lease.job_id for delivery in claimed.deliveries]


def _queues_of(taken: Sequence[JobId], **ids: Sequence[JobId]) -> list[str]:
    """Tell the queue of each job; each job once."""
    assert len(set(taken)) == len(taken)
    return [queue for job_id in taken for queue, own in ids.items() if job_id in own]


@pytest.mark.needs("fifo")
async def test_jobs_are_handed_out_first_in_first_out(scene: Scene) -> None:
    """Promise 8: FIFO per queue and priority."""
    ids = [await scene.put() for _ in range(30)]
    assert [(await scene.take_one()).lease.job_id for _ in ids] == ids


@pytest.mark.needs("fifo")
async def test_batches_keep_the_order_between_and_within_them(scene: Scene) -> None:
    """Promise 8: FIFO per queue and priority."""
    ids = [*await scene.put_many(10), await scene.put(), *await scene.put_many(10)]
    assert [*await scene.take_ids(4), *await scene.take_ids(100)] == ids


@pytest.mark.needs("priority", "one_store")
async def test_higher_priorities_go_first(scene: Scene) -> None:
    by_priority = {
        priority: await scene.put(scene.job(priority=priority)) for priority in (3, 0, 9, 5, 1, 8, 2, 7, 4, 6)
    }
    assert await scene.take_ids() == [by_priority[priority] for priority in range(9, -1, -1)]


@pytest.mark.needs("priority", "fifo")
async def test_each_priority_is_first_in_first_out(scene: Scene) -> None:
    """Promise 8: FIFO per queue *and priority*."""
    jobs = [scene.job(priority=number % 3) for number in range(30)]
    await scene.carrier.enqueue(jobs)
    expected = sorted(jobs, key=lambda job: -job.priority)
    assert await scene.take_ids() == [job.id for job in expected]


@pytest.mark.needs("priority")
@pytest.mark.needs("one_store")
async def test_a_later_urgent_job_overtakes_the_waiting_ones(scene: Scene) -> None:
    first, second = await scene.put_many(2)
    assert await scene.take_ids(1) == [first]
    urgent = await scene.put(scene.job(priority=9))
    assert await scene.take_ids() == [urgent, second]


@pytest.mark.needs("one_store")
async def test_priorities_of_one_queue_do_not_touch_another(scene: Scene) -> None:
    low = await scene.put(scene.job(queue="a", priority=0))
    high = await scene.put(scene.job(queue="b", priority=9))
    assert await _claim(scene.carrier, [("a", 1), ("b", 1)], 1) == [low], "wants are served in their order"
    assert await _claim(scene.carrier, [("a", 1), ("b", 1)], 1) == [high]


async def test_a_claim_of_an_empty_store_gives_nothing(scene: Scene) -> None:
    assert await scene.take() == []


async def test_a_claim_that_wants_nothing_gives_nothing(scene: Scene) -> None:
    await scene.put()
    assert await _claim(scene.carrier, [], 10) == []
    assert await scene.count(JobState.READY) == 1


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_a_claim_gives_at_most_its_limit(scene: Scene, limit: int) -> None:
    ids = await scene.put_many(10)
    taken = await _claim(scene.carrier, [("q", 100)], limit)
    assert len(set(taken)) == len(taken) == limit
    assert scene.ordered(taken) == (ids[:limit] if scene.carrier.capabilities.fifo else sorted(taken))
    assert await scene.count(JobState.READY) == 10 - limit
    assert await scene.count(JobState.RUNNING) == limit


@pytest.mark.needs("one_store")
async def test_a_claim_gives_at_most_the_limit_of_each_want(scene: Scene) -> None:
    a, b = await scene.put_many(5, queue="a"), await scene.put_many(5, queue="b")
    taken = await _claim(scene.carrier, [("a", 2), ("b", 3)], 100)
    assert _queues_of(taken, a=a, b=b) == ["a"] * 2 + ["b"] * 3


async def test_a_limit_of_zero_gives_nothing(scene: Scene) -> None:
    await scene.put()
    assert await _claim(scene.carrier, [("q", 10)], 0) == []
    assert await _claim(scene.carrier, [("q", 0)], 10) == []
    assert await scene.count(JobState.READY) == 1


@pytest.mark.needs("one_store")
async def test_wants_are_served_in_their_order(scene: Scene) -> None:
    a, b, c = [await scene.put_many(2, queue=queue) for queue in "abc"]
    taken = await _claim(scene.carrier, [("c", 9), ("a", 9), ("b", 9)], 5)
    assert _queues_of(taken, a=a, b=b, c=c) == ["c", "c", "a", "a", "b"]


async def test_an_empty_want_passes_its_share_on(scene: Scene) -> None:
    ids = await scene.put_many(4, queue="b")
    assert scene.ordered(await _claim(scene.carrier, [("a", 4), ("b", 4)], 4)) == scene.ordered(ids)


async def test_queues_that_are_not_wanted_are_left_alone(scene: Scene) -> None:
    other = await scene.put(scene.job(queue="other"))
    assert await scene.take(queue="q") == []
    assert await scene.state(other) is JobState.READY


@pytest.mark.needs("one_store")
async def test_one_claim_may_want_hundreds_of_queues(scene: Scene) -> None:
    """B8: one connection serves 500 queues."""
    jobs = [scene.job(queue=f"queue-{number}") for number in range(0, 500, 7)]
    await scene.carrier.enqueue(jobs)
    assert await _claim(scene.carrier, [(f"queue-{n}", 1) for n in range(500)], 1000) == [
        job.id for job in jobs
    ]


@pytest.mark.needs("priority", "fifo")
async def test_among_many_queues_with_jobs_order_priorities_and_pauses_hold(scene: Scene) -> None:
    names = [f"queue-{number:02}" for number in range(30)]
    jobs = {
        (name, priority): scene.job(queue=name, priority=priority) for name in names for priority in (2, 9)
    }
    await scene.carrier.enqueue(list(jobs.values()))
    paused = {names[1], names[7], names[20]}
    for name in paused:
        await scene.carrier.pause(name)
    expected = [jobs[name, priority].id for name in names if name not in paused for priority in (9, 2)]
    wants = [(name, 2) for name in names]
    taken = await _claim(scene.carrier, wants[:3], 3)  # from two of the three, the second paused
    assert taken == expected[:3]
    assert await _claim(scene.carrier, wants, 1000) == expected[3:]
    for name in paused:
        await scene.carrier.resume(name)
    assert await _claim(scene.carrier, [("queue-20", 1), ("nothing", 5), ("queue-01", 5)], 10) == [
        jobs["queue-20", 9].id,
        jobs["queue-01", 9].id,
        jobs["queue-01", 2].id,
    ]


async def test_a_batch_of_a_thousand_is_claimed_and_settled_at_once(scene: Scene) -> None:
    ids = await scene.put_many(1000)
    assert scene.ordered(await scene.take_ids(1000)) == scene.ordered(ids)
    assert await scene.count(JobState.RUNNING) == 1000


async def test_a_delivery_carries_the_job(scene: Scene) -> None:
    job = scene.job(queue="mail", task="shop.send", payload=b"args", priority=3, expires=HOUR)
    delivery = await scene.start(job, worker="host:1")
    assert delivery.lease == Lease(job.id, WorkerId("host:1"), 1)
    assert (delivery.task, delivery.queue, delivery.payload, delivery.priority) == (
        "shop.send",
        "mail",
        b"args",
        3,
    )
    assert (delivery.attempt, delivery.crashes, delivery.history) == (1, 0, b"")
    assert delivery.expires_ms == job.expires_ms
    assert delivery.cancel_requested is False


async def test_a_running_job_is_recorded_with_its_worker_and_start(scene: Scene) -> None:
    await scene.put()
    scene.clock.advance(SECOND)
    delivery = await scene.take_one(worker="host:1")
    record = await scene.record(delivery.lease.job_id)
    assert record.state is JobState.RUNNING
    assert (record.worker, record.started_ms, record.finished_ms) == ("host:1", scene.now, None)
    assert (record.attempt, record.epoch, record.crashes) == (1, 1, 0)


async def test_a_running_job_is_not_handed_out_again(scene: Scene) -> None:
    await scene.start()
    assert await scene.take(worker="w") == []
    assert await scene.take(worker="other") == []


async def test_the_epoch_counts_claims_and_never_goes_back(scene: Scene) -> None:
    """Promise 3: every lease carries an epoch."""
    await scene.put()
    for epoch in range(1, 6):
        delivery = await scene.take_one(worker=f"w{epoch}")
        assert delivery.lease.epoch == epoch
        assert await scene.settle(delivery, Released())


async def test_workers_share_a_queue_without_overlap(scene: Scene) -> None:
    ids = await scene.put_many(6)
    shares = [await scene.take_ids(limit, worker=worker) for worker, limit in (("a", 2), ("b", 2), ("c", 9))]
    assert [len(share) for share in shares] == [2, 2, 2]
    assert scene.ordered([job_id for share in shares for job_id in share]) == scene.ordered(ids)


async def test_concurrent_claims_hand_out_each_job_once(scene: Scene, store: Store) -> None:
    """Promise 3: two workers never hold the same job, whichever process they live in."""
    ids = await scene.put_many(300)
    async with store.broker() as other:
        taken = await asyncio.gather(
            *(_claim(broker, [("q", 7)], 7, f"w{n}") for n, broker in enumerate((scene.carrier, other) * 30))
        )
    assert sorted(job_id for batch in taken for job_id in batch) == sorted(ids)


async def test_claims_interleaved_with_enqueues_and_settles_lose_nothing(scene: Scene, store: Store) -> None:
    """Promises 2 and 3 under concurrency: each job is completed exactly once."""
    done: list[JobId] = []
    total = 200

    async def work(broker: Carrier, worker: str) -> None:
        own = Scene(broker, scene.clock)
        while len(done) < total:
            for delivery in await own.take(5, worker=worker):
                assert await own.settle(delivery, Succeeded())
                done.append(delivery.lease.job_id)
            await asyncio.sleep(0)

    async def produce(count: int) -> list[JobId]:
        return [await scene.put() for _ in range(count)]

    async with store.broker() as other, asyncio.timeout(60):
        results = await asyncio.gather(
            produce(total // 2),
            produce(total // 2),
            work(scene.carrier, "a"),
            work(other, "b"),
            work(other, "c"),
        )
    made = [*(results[0] or []), *(results[1] or [])]
    assert sorted(done) == sorted(made)
    assert await scene.count(JobState.SUCCEEDED) == total


@pytest.mark.needs("pull", "one_store")
async def test_a_claim_renews_the_lease_of_what_the_worker_already_holds(scene: Scene) -> None:
    """Taking a job starts or renews the worker's lease: there is one lease per worker."""
    await scene.start(scene.job(queue="a"), lease_ms=10 * SECOND)
    scene.clock.advance(8 * SECOND)
    await scene.start(scene.job(queue="b"), lease_ms=10 * SECOND)
    [worker] = await scene.carrier.workers()
    assert (worker.id, worker.lease_until_ms, worker.holds) == ("w", scene.now + 10 * SECOND, 2)


async def test_a_claim_may_have_a_lease_of_hours(scene: Scene) -> None:
    await scene.start(lease_ms=3 * HOUR)
    scene.clock.advance(3 * HOUR - MINUTE)
    assert (await scene.carrier.tend()).reclaimed == 0
