"""Remote cancel of waiting and running jobs."""

from __future__ import annotations

import pytest

from headway.brokers.base import QueueWant
from headway.job import Cancelled, Failed, JobState, RetryAt, Succeeded, WorkerId
from tests.conformance.scene import MINUTE, SECOND, TERMINAL, WAITING, Scene


@pytest.mark.parametrize("state", WAITING)
async def test_a_waiting_job_is_cancelled_at_once(scene: Scene, state: JobState) -> None:
    """Promise 2: it will not be started."""
    job_id = await scene.reach(state)
    [answer] = await scene.carrier.cancel([job_id], reason="customer left")
    assert (answer.id, answer.state) == (job_id, JobState.CANCELLED)
    record = await scene.record(job_id)
    assert (record.state, record.reason, record.finished_ms) == (
        JobState.CANCELLED,
        "customer left",
        scene.now,
    )
    scene.clock.advance(24 * 60 * MINUTE - 1)
    assert await scene.take() == []


@pytest.mark.needs("cancel_running")
async def test_a_running_job_is_asked_to_end(scene: Scene) -> None:
    delivery = await scene.start()
    job_id = delivery.lease.job_id
    [answer] = await scene.carrier.cancel([job_id], reason="stop")
    assert answer.state is JobState.RUNNING
    record = await scene.record(job_id)
    assert (record.state, record.cancel_requested) == (JobState.RUNNING, True)
    assert await scene.settle(delivery, Cancelled("stop"))
    assert await scene.state(job_id) is JobState.CANCELLED


@pytest.mark.parametrize("state", TERMINAL)
async def test_a_completed_job_stays_as_it_is(scene: Scene, state: JobState) -> None:
    """Promise 3: one terminal state, once."""
    job_id = await scene.reach(state)
    before = await scene.record(job_id)
    scene.clock.advance(SECOND)
    [answer] = await scene.carrier.cancel([job_id], reason="too late")
    assert answer.state is state
    assert await scene.record(job_id) == before


async def test_an_unknown_job_is_answered_with_none(scene: Scene) -> None:
    [answer] = await scene.carrier.cancel([scene.job().id])
    assert answer.state is None


async def test_a_batch_is_answered_in_its_order(scene: Scene) -> None:
    running = await scene.reach(JobState.RUNNING, scene.job(queue="a"))
    failed = await scene.reach(JobState.FAILED, scene.job(queue="b"))
    ready = await scene.put(scene.job(queue="c"))
    unknown = scene.job().id
    answers = await scene.carrier.cancel([ready, unknown, running, failed])
    assert [(answer.id, answer.state) for answer in answers] == [
        (ready, JobState.CANCELLED),
        (unknown, None),
        (running, JobState.RUNNING),
        (failed, JobState.FAILED),
    ]
    assert await scene.carrier.cancel([]) == []


@pytest.mark.parametrize("state", [JobState.READY, JobState.RUNNING])
async def test_cancelling_twice_is_cancelling_once(scene: Scene, state: JobState) -> None:
    job_id = await scene.reach(state)
    await scene.carrier.cancel([job_id], reason="first")
    before = await scene.record(job_id)
    await scene.carrier.cancel([job_id], reason="first")
    assert await scene.record(job_id) == before


async def test_the_jobs_behind_a_cancelled_one_keep_their_order(scene: Scene) -> None:
    ids = await scene.put_many(10)
    await scene.carrier.cancel([ids[0], ids[4], ids[9]])
    assert await scene.count(JobState.READY) == 7
    assert await scene.count(JobState.CANCELLED) == 3
    left = [ids[n] for n in (1, 2, 3, 5, 6, 7, 8)]
    assert scene.ordered(await scene.take_ids()) == scene.ordered(left)
    assert await scene.count(JobState.READY) == 0


async def test_a_limit_counts_jobs_and_not_the_gaps_of_cancelled_ones(scene: Scene) -> None:
    """A claim of 5 behind hundreds of cancelled jobs finds 5."""
    ids = await scene.put_many(310)
    await scene.carrier.cancel(ids[:300])
    first, second = await scene.take_ids(5), await scene.take_ids(5)
    assert (len(first), len(second)) == (5, 5)
    assert scene.ordered([*first, *second]) == scene.ordered(ids[300:])
    assert await scene.take() == []


async def test_a_thousand_waiting_jobs_are_cancelled_at_once(scene: Scene) -> None:
    ids = await scene.put_many(scene.many(1000))
    answers = await scene.carrier.cancel(ids)
    assert {answer.state for answer in answers} == {JobState.CANCELLED}
    assert await scene.take() == []
    assert await scene.count(JobState.READY) == 0
    after = await scene.put()
    assert await scene.take_ids() == [after]


@pytest.mark.needs("cancel_running")
async def test_a_cancel_request_ends_with_the_life_it_was_meant_for(scene: Scene) -> None:
    delivery = await scene.start()
    job_id = delivery.lease.job_id
    await scene.carrier.cancel([job_id])
    await scene.finish(delivery, Failed(b"h"))
    await scene.carrier.retry([job_id])
    assert (await scene.record(job_id)).cancel_requested is False
    again = await scene.take_one()
    assert again.cancel_requested is False
    assert await scene.settle(again, Succeeded())
    assert await scene.state(job_id) is JobState.SUCCEEDED


async def test_a_job_waiting_for_its_retry_can_be_cancelled(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.finish(delivery, RetryAt(scene.now + SECOND, b"history"))
    [answer] = await scene.carrier.cancel([delivery.lease.job_id])
    assert answer.state is JobState.CANCELLED
    scene.clock.advance(MINUTE)
    assert await scene.take() == []
    assert (await scene.record(delivery.lease.job_id)).history == b"history"


@pytest.mark.needs("one_store")
async def test_a_cancelled_job_does_not_cost_its_queue_its_turn(scene: Scene) -> None:
    """Wants are served in their order, whatever lies between a queue's jobs."""
    a = await scene.put_many(4, queue="a")
    await scene.put_many(2, queue="b")
    await scene.carrier.cancel([a[2]])
    claimed = await scene.carrier.claim(
        [QueueWant("a", 3), QueueWant("b", 3)], worker=WorkerId("w"), limit=3, lease_ms=MINUTE
    )
    taken = [delivery.lease.job_id for delivery in claimed.deliveries]
    assert scene.ordered(taken) == scene.ordered([a[0], a[1], a[3]])
