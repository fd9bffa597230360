"""Retries by policy (RetryAt) and by hand."""

from __future__ import annotations

import pytest

from headway.brokers.base import JobQuery, Progress, Report
from headway.job import Failed, JobState, Lease, RetryAt, Succeeded, WorkerId
from tests.conformance.scene import HOUR, LEASE_MS, MINUTE, RETRYABLE, SECOND, Scene


async def test_a_retry_waits_for_its_time(scene: Scene) -> None:
    delivery = await scene.start()
    assert await scene.settle(delivery, RetryAt(scene.now + MINUTE, b"first error"))
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.due_ms, record.history) == (
        JobState.SCHEDULED,
        scene.now + MINUTE,
        b"first error",
    )
    assert (record.attempt, record.epoch, record.finished_ms) == (1, 1, None)
    scene.clock.advance(MINUTE - 1)
    assert await scene.take() == []
    scene.clock.advance(1)
    assert await scene.take_ids() == [delivery.lease.job_id]


@pytest.mark.parametrize("offset", [0, -1, -HOUR])
async def test_a_retry_due_now_is_ready_at_once(scene: Scene, offset: int) -> None:
    delivery = await scene.start()
    assert await scene.settle(delivery, RetryAt(scene.now + offset))
    assert await scene.state(delivery.lease.job_id) is JobState.READY
    assert await scene.take_ids() == [delivery.lease.job_id]


async def test_attempts_count_up_and_history_travels_with_the_job(scene: Scene) -> None:
    await scene.put()
    history = b""
    for attempt in range(1, 5):
        delivery = await scene.take_one(worker=f"w{attempt}")
        assert (delivery.attempt, delivery.lease.epoch, delivery.history) == (attempt, attempt, history)
        history += b"error %d\x00" % attempt
        assert await scene.settle(delivery, RetryAt(scene.now + SECOND, history))
        scene.clock.advance(SECOND)
    assert await scene.settle(await scene.take_one(), Failed(history))
    [record] = (await scene.carrier.list(JobQuery())).jobs
    assert (record.state, record.attempt, record.history) == (JobState.FAILED, 5, history)


async def test_a_retry_that_does_not_count_gives_the_attempt_back(scene: Scene) -> None:
    """RetryLater: a handler may wait for something as often as it likes."""
    await scene.put()
    for epoch in range(1, 6):
        delivery = await scene.take_one()
        assert (delivery.attempt, delivery.lease.epoch) == (1, epoch)
        assert await scene.settle(delivery, RetryAt(scene.now + SECOND, counted=False))
        assert (await scene.record(delivery.lease.job_id)).attempt == 0
        scene.clock.advance(SECOND)


async def test_counted_and_uncounted_retries_mix(scene: Scene) -> None:
    await scene.put()
    seen: list[int] = []
    for counted in (True, False, False, True, False):
        delivery = await scene.take_one()
        seen.append(delivery.attempt)
        assert await scene.settle(delivery, RetryAt(scene.now, counted=counted))
    assert seen == [1, 2, 2, 2, 3]


async def test_a_retry_leaves_crashes_as_they_are(scene: Scene) -> None:
    await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    await scene.settle(await scene.take_one(), RetryAt(scene.now))
    delivery = await scene.take_one()
    assert (delivery.attempt, delivery.crashes) == (3, 1)


async def test_a_retried_job_can_succeed(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.settle(delivery, RetryAt(scene.now, b"error"))
    again = await scene.take_one()
    assert await scene.settle(again, Succeeded(b"at last"))
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.attempt, record.result) == (JobState.SUCCEEDED, 2, b"at last")


@pytest.mark.parametrize("state", RETRYABLE)
async def test_a_completed_job_is_given_a_new_life_by_hand(scene: Scene, state: JobState) -> None:
    """The only way out of a terminal state."""
    job_id = await scene.reach(state)
    epoch = (await scene.record(job_id)).epoch
    scene.clock.advance(MINUTE)
    assert await scene.carrier.retry([job_id]) == [True]
    record = await scene.record(job_id)
    assert record.state is JobState.READY
    assert (record.attempt, record.crashes, record.history, record.result, record.reason) == (
        0,
        0,
        b"",
        b"",
        "",
    )
    assert (record.epoch, record.finished_ms, record.cancel_requested) == (epoch, None, False)
    delivery = await scene.take_one()
    assert (delivery.lease, delivery.attempt) == (Lease(job_id, WorkerId("w"), epoch + 1), 1)
    assert await scene.settle(delivery, Succeeded(b"second life"))
    assert await scene.state(job_id) is JobState.SUCCEEDED


@pytest.mark.parametrize("state", [state for state in JobState if state not in RETRYABLE])
async def test_other_jobs_are_not_retried_by_hand(scene: Scene, state: JobState) -> None:
    job_id = await scene.reach(state)
    before = await scene.record(job_id)
    assert await scene.carrier.retry([job_id]) == [False]
    assert await scene.record(job_id) == before


async def test_a_new_life_forgets_attempts_crashes_history_and_progress(scene: Scene) -> None:
    delivery = await scene.start()
    scene.clock.advance(LEASE_MS + 1)
    delivery = await scene.take_one()
    await scene.carrier.report([Report(delivery.lease, Progress(0.5, "half"))])
    await scene.finish(delivery, Failed(b"history"))
    assert await scene.carrier.retry([delivery.lease.job_id]) == [True]
    record = await scene.record(delivery.lease.job_id)
    assert (record.progress, record.progress_message) == (None, "")
    assert (record.attempt, record.crashes, record.history) == (0, 0, b"")
    assert record.epoch == 2
    assert (await scene.take_one()).lease.epoch == 3


async def test_the_lease_of_the_former_life_stays_superseded(scene: Scene) -> None:
    """Promise 3: the epoch is never reset."""
    delivery = await scene.start()
    await scene.finish(delivery, Failed())
    await scene.carrier.retry([delivery.lease.job_id])
    assert not await scene.settle(delivery, Succeeded(b"ghost"))
    current = await scene.take_one()
    assert not await scene.settle(delivery, Succeeded(b"ghost"))
    assert await scene.settle(current, Succeeded(b"true"))


async def test_a_job_retried_by_hand_goes_to_the_tail(scene: Scene) -> None:
    failed = await scene.reach(JobState.FAILED)
    waiting = await scene.put_many(3)
    await scene.carrier.retry([failed])
    assert scene.ordered(await scene.take_ids()) == scene.ordered([*waiting, failed])


async def test_a_cancelled_waiting_job_retried_by_hand_is_handed_out_once_and_at_the_tail(
    scene: Scene,
) -> None:
    """It must not come back at its old place, nor twice."""
    first, second, third = await scene.put_many(3)
    await scene.carrier.cancel([first])
    await scene.carrier.retry([first])
    assert scene.ordered(await scene.take_ids()) == scene.ordered([second, third, first])
    assert await scene.take() == []


async def test_a_batch_is_retried_each_on_its_own(scene: Scene) -> None:
    failed = await scene.reach(JobState.FAILED, scene.job(queue="a"))
    running = await scene.reach(JobState.RUNNING, scene.job(queue="b"))
    cancelled = await scene.reach(JobState.CANCELLED, scene.job(queue="c"))
    unknown = scene.job().id
    assert await scene.carrier.retry([failed, running, unknown, cancelled]) == [True, False, False, True]
    assert await scene.carrier.retry([failed]) == [False], "a second retry finds it ready"
    assert await scene.carrier.retry([]) == []


async def test_hundreds_of_failed_jobs_are_retried_at_once(scene: Scene) -> None:
    count = scene.many(500)
    await scene.put_many(count)
    for delivery in await scene.take(count):
        await scene.finish(delivery, Failed(b"h"))
    page = await scene.carrier.list(JobQuery(), limit=1000)
    assert await scene.carrier.retry([job.id for job in page.jobs]) == [True] * count
    assert (await scene.count(JobState.READY), await scene.count(JobState.FAILED)) == (count, 0)


async def test_a_job_can_live_many_lives(scene: Scene) -> None:
    job_id = await scene.put()
    for life in range(1, 5):
        delivery = await scene.take_one()
        assert (delivery.lease.epoch, delivery.attempt) == (life, 1)
        await scene.finish(delivery, Failed(b"%d" % life))
        assert (await scene.record(job_id)).history == b"%d" % life
        assert await scene.count(JobState.FAILED) == 1
        assert await scene.carrier.retry([job_id]) == [True]
        assert await scene.count(JobState.FAILED) == 0
