"""Leases, heartbeats, and the return of dead workers' jobs (promises 3, 4 and 5)."""

from __future__ import annotations

import pytest

from headway.job import Failed, JobState, Lease, Released, Succeeded, WorkerId
from tests.conformance.scene import HOUR, LEASE_MS, MINUTE, SECOND, Scene

W, OTHER = WorkerId("w"), WorkerId("other")


async def _beats(scene: Scene, *workers: WorkerId, lease_ms: int = LEASE_MS) -> list[bool]:
    answers = await scene.carrier.heartbeat(workers, lease_ms)
    assert [answer.worker for answer in answers] == list(workers)
    return [answer.held for answer in answers]


async def test_a_heartbeat_keeps_the_lease(scene: Scene) -> None:
    """Promise 4: a live worker keeps its lease, however long the job runs."""
    delivery = await scene.start()
    for _ in range(20):
        scene.clock.advance(LEASE_MS - SECOND)
        assert await _beats(scene, W) == [True]
        assert (await scene.carrier.tend()).reclaimed == 0
    assert await scene.settle(delivery, Succeeded())


async def test_one_heartbeat_keeps_all_that_a_worker_holds(scene: Scene) -> None:
    await scene.put_many(100)
    deliveries = await scene.take()
    scene.clock.advance(LEASE_MS - 1)
    assert await _beats(scene, W) == [True]
    scene.clock.advance(LEASE_MS - 1)
    assert (await scene.carrier.tend()).reclaimed == 0
    assert all([await scene.settle(delivery, Succeeded()) for delivery in deliveries])


@pytest.mark.needs("pull")
async def test_a_heartbeat_extends_from_now(scene: Scene) -> None:
    await scene.start()
    scene.clock.advance(SECOND)
    assert await _beats(scene, W, lease_ms=MINUTE) == [True]
    [worker] = await scene.carrier.workers()
    assert worker.lease_until_ms == scene.now + MINUTE


async def test_a_heartbeat_of_an_unknown_worker_holds_nothing(scene: Scene) -> None:
    assert await _beats(scene, WorkerId("nobody")) == [False]
    assert await scene.carrier.workers() == []


async def test_a_heartbeat_of_no_workers_is_answered(scene: Scene) -> None:
    assert await _beats(scene) == []


async def test_heartbeats_of_many_workers_are_answered_in_their_order(scene: Scene) -> None:
    """A supervisor beats for all its processes in one call."""
    workers = [WorkerId(f"w{number}") for number in range(6)]
    for number in (0, 2, 4):
        await scene.start(scene.job(queue=f"q{number}"), worker=workers[number])
    assert await _beats(scene, *workers) == [True, False, True, False, True, False]


async def test_a_worker_that_settled_its_last_job_holds_no_lease(scene: Scene) -> None:
    await scene.put_many(2)
    first, second = await scene.take()
    await scene.finish(first)
    assert await _beats(scene, W) == [True]
    await scene.finish(second)
    assert await _beats(scene, W) == [False]
    assert await scene.carrier.workers() == []


@pytest.mark.parametrize("sweep", [pytest.param("tend", marks=pytest.mark.needs("pull")), "claim"])
async def test_a_dead_workers_job_comes_back_with_one_crash_more(scene: Scene, sweep: str) -> None:
    """Promise 5: within lease + sweep, on its own."""
    dead = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    if sweep == "tend":
        assert (await scene.carrier.tend()).reclaimed == 1
        record = await scene.record(dead.lease.job_id)
        assert (record.state, record.attempt, record.crashes, record.worker) == (JobState.READY, 1, 1, None)
    delivery = await scene.take_one(worker="other")
    assert delivery.lease == Lease(dead.lease.job_id, OTHER, 2)
    assert (delivery.attempt, delivery.crashes) == (2, 1)


@pytest.mark.needs("pull")
async def test_a_claim_for_another_queue_takes_dead_workers_jobs_back_as_well(scene: Scene) -> None:
    dead = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.take(queue="elsewhere", worker="other") == []
    assert await scene.state(dead.lease.job_id) is JobState.READY


async def test_a_lease_is_not_lost_before_its_time(scene: Scene) -> None:
    """Promise 4."""
    await scene.start()
    scene.clock.advance(LEASE_MS - 1)
    assert (await scene.carrier.tend()).reclaimed == 0
    assert await scene.take(worker="other") == []
    assert await _beats(scene, W) == [True]


@pytest.mark.needs("pull")
async def test_tend_takes_back_all_jobs_of_all_dead_workers_and_no_others(scene: Scene) -> None:
    """Promise 5."""
    await scene.put_many(30)
    dead = [*await scene.take_ids(10, worker="a"), *await scene.take_ids(10, worker="b")]
    scene.clock.advance(LEASE_MS - SECOND)
    alive = await scene.take_ids(10, worker="c")
    scene.clock.advance(2 * SECOND)
    assert (await scene.carrier.tend()).reclaimed == 20
    assert await scene.states(dead) == [JobState.READY] * 20
    assert await scene.states(alive) == [JobState.RUNNING] * 10
    assert [worker.id for worker in await scene.carrier.workers()] == ["c"]
    assert (await scene.carrier.tend()).reclaimed == 0


@pytest.mark.needs("pull")
async def test_tend_takes_back_a_thousand_jobs(scene: Scene) -> None:
    await scene.put_many(1500)
    await scene.take_ids(1500, worker="dead")
    scene.clock.advance(LEASE_MS + 1)
    reclaimed = 0
    for _ in range(20):
        reclaimed += (await scene.carrier.tend()).reclaimed
        if reclaimed == 1500:
            break
    assert reclaimed == 1500
    assert await scene.count(JobState.READY) == 1500


@pytest.mark.needs("fifo")
async def test_a_reclaimed_job_goes_to_the_head_of_its_queue(scene: Scene) -> None:
    ids = await scene.put_many(3)
    assert await scene.take_ids(1) == ids[:1]
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.take_ids(worker="other") == ids


@pytest.mark.needs("fifo")
async def test_reclaimed_jobs_come_back_in_their_order(scene: Scene) -> None:
    """Promise 8: FIFO also after the death of a worker."""
    ids = await scene.put_many(12)
    await scene.take_ids(8)
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.take_ids(worker="other") == ids


@pytest.mark.needs("priority")
async def test_a_reclaimed_job_keeps_its_priority(scene: Scene) -> None:
    low = await scene.put(scene.job(priority=1))
    await scene.take()
    high = await scene.put(scene.job(priority=8))
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.take_ids(worker="other") == [high, low]


@pytest.mark.needs("pull")
async def test_a_settle_after_the_job_was_taken_back_is_superseded(scene: Scene) -> None:
    """Promise 3: the late worker's result is refused."""
    late = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    await scene.carrier.tend()
    assert not await scene.settle(late, Succeeded(b"late"))
    assert await scene.state(late.lease.job_id) is JobState.READY


async def test_a_settle_while_another_worker_runs_the_job_is_superseded(scene: Scene) -> None:
    """Promise 3: exactly one completion, that of the present lease."""
    late = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    current = await scene.take_one(worker="other")
    assert not await scene.settle(late, Failed(b"late"))
    assert await scene.settle(current, Succeeded(b"current"))
    assert not await scene.settle(late, Failed(b"late"))
    record = await scene.record(late.lease.job_id)
    assert (record.state, record.result, record.history) == (JobState.SUCCEEDED, b"current", b"")


async def test_the_same_worker_under_a_new_epoch_cannot_settle_under_the_old_one(scene: Scene) -> None:
    """Promise 3: the epoch is the fence, not the worker's name."""
    old = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    new = await scene.take_one(worker="w")
    assert (new.lease.job_id, new.lease.epoch) == (old.lease.job_id, old.lease.epoch + 1)
    assert not await scene.settle(old, Succeeded(b"old"))
    assert await scene.state(old.lease.job_id) is JobState.RUNNING
    assert await scene.settle(new, Succeeded(b"new"))


async def test_a_settle_between_the_end_of_the_lease_and_the_sweep_still_counts(scene: Scene) -> None:
    """Nobody else has the job yet: its work is not thrown away."""
    slow = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.settle(slow, Succeeded(b"just in time"))
    assert (await scene.carrier.tend()).reclaimed == 0
    assert await scene.state(slow.lease.job_id) is JobState.SUCCEEDED


@pytest.mark.needs("pull")
async def test_a_lost_lease_is_never_revived_by_a_heartbeat(scene: Scene) -> None:
    """Promise 5: also between the end of the lease and the sweep."""
    lost = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    assert await _beats(scene, W) == [False]
    assert (await scene.carrier.tend()).reclaimed == 1
    assert await _beats(scene, W) == [False]
    assert await scene.take_ids(worker="other") == [lost.lease.job_id]


@pytest.mark.needs("pull")
async def test_a_claim_after_ones_own_lease_ran_out_starts_anew(scene: Scene) -> None:
    """A frozen worker that wakes up has lost what it held; its new lease covers only new deliveries."""
    old = await scene.start(scene.job(queue="a"))
    scene.clock.advance(LEASE_MS + 1)
    new = await scene.start(scene.job(queue="b"))
    assert not await scene.settle(old, Succeeded())
    assert await scene.state(old.lease.job_id) is JobState.READY
    [worker] = await scene.carrier.workers()
    assert worker.holds == 1
    assert await scene.settle(new, Succeeded())


async def test_a_job_that_kills_its_workers_is_seen_by_its_crash_count(scene: Scene) -> None:
    """Promise 5: the executor puts it in the dead-letter state after a set number of crashes."""
    job_id = await scene.put()
    for crashes in range(5):
        delivery = await scene.take_one(worker=f"victim-{crashes}")
        assert (delivery.crashes, delivery.attempt, delivery.lease.epoch) == (
            crashes,
            crashes + 1,
            crashes + 1,
        )
        scene.clock.advance(LEASE_MS + 1)
        await scene.carrier.tend()
    last = await scene.take_one()
    assert last.crashes == 5
    assert await scene.settle(last, Failed(b"poison"))
    record = await scene.record(job_id)
    assert (record.state, record.crashes, record.attempt, record.history) == (
        JobState.FAILED,
        5,
        6,
        b"poison",
    )


async def test_a_release_leaves_the_crash_count_as_it_is(scene: Scene) -> None:
    await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.settle(await scene.take_one(worker="other"), Released())
    delivery = await scene.take_one()
    assert (delivery.crashes, delivery.attempt, delivery.lease.epoch) == (1, 2, 3)


@pytest.mark.needs("pull")
async def test_a_reclaimed_job_whose_cancel_was_asked_for_is_cancelled(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.carrier.cancel([delivery.lease.job_id], reason="no longer wanted")
    scene.clock.advance(LEASE_MS + 1)
    await scene.carrier.tend()
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.finished_ms, record.reason) == (
        JobState.CANCELLED,
        scene.now,
        "no longer wanted",
    )
    assert await scene.take() == []


@pytest.mark.needs("cancel_running")
async def test_a_dead_workers_job_whose_cancel_was_asked_for_is_not_run_again(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.carrier.cancel([delivery.lease.job_id], reason="no longer wanted")
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.take(worker="other") == []
    assert await scene.state(delivery.lease.job_id) is JobState.CANCELLED


@pytest.mark.needs("pull")
async def test_workers_are_listed_with_what_they_hold(scene: Scene) -> None:
    assert await scene.carrier.workers() == []
    await scene.put_many(5)
    await scene.take_ids(3, worker="a")
    scene.clock.advance(SECOND)
    await scene.take_ids(2, worker="b")
    rows = sorted((row.id, row.holds, row.lease_until_ms) for row in await scene.carrier.workers())
    assert rows == [("a", 3, scene.now - SECOND + LEASE_MS), ("b", 2, scene.now + LEASE_MS)]


@pytest.mark.needs("pull")
async def test_tend_says_when_the_next_lease_runs_out(scene: Scene) -> None:
    await scene.start(scene.job(queue="a"), worker="a", lease_ms=HOUR)
    await scene.start(scene.job(queue="b"), worker="b", lease_ms=MINUTE)
    next_in_ms = (await scene.carrier.tend()).next_in_ms
    assert next_in_ms is not None
    assert 0 < next_in_ms <= MINUTE + 1


@pytest.mark.needs("pull")
async def test_any_worker_may_sweep_and_sweeping_twice_does_nothing(scene: Scene) -> None:
    """No leader: maintenance is idempotent."""
    await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    first, second = await scene.carrier.tend(), await scene.carrier.tend()
    assert (first.reclaimed, second.reclaimed) == (1, 0)
    [delivery] = await scene.take(worker="other")
    assert (delivery.crashes, delivery.lease.epoch) == (1, 2)
