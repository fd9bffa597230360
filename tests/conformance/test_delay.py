"""Delayed and expiring jobs: due times, promotion, and when to come back."""

from __future__ import annotations

import pytest

from headway.brokers.base import QueueWant
from headway.job import Expired, JobState, Succeeded, WorkerId
from tests.conformance.scene import DAY, HOUR, LEASE_MS, MINUTE, SECOND, Scene


async def _next_in_ms(scene: Scene, queue: str = "q", worker: str = "w") -> int | None:
    claimed = await scene.carrier.claim(
        [QueueWant(queue, 10)], worker=WorkerId(worker), limit=10, lease_ms=LEASE_MS
    )
    return claimed.next_in_ms


async def test_a_delayed_job_is_not_handed_out_before_it_is_due(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=MINUTE))
    scene.clock.advance(MINUTE - 1)
    assert await scene.take() == []
    assert await scene.state(job_id) is JobState.SCHEDULED


async def test_a_claim_promotes_a_job_at_its_due_time(scene: Scene) -> None:
    """No other service is needed: whoever claims promotes."""
    job_id = await scene.put(scene.job(due=MINUTE))
    scene.clock.advance(MINUTE)
    assert await scene.take_ids() == [job_id]


@pytest.mark.needs("pull")
async def test_tend_promotes_due_jobs_and_says_how_many(scene: Scene) -> None:
    due = [await scene.put(scene.job(due=SECOND)) for _ in range(3)]
    later = await scene.put(scene.job(due=HOUR))
    scene.clock.advance(SECOND)
    tended = await scene.carrier.tend()
    assert tended.promoted == 3
    assert await scene.states([*due, later]) == [JobState.READY] * 3 + [JobState.SCHEDULED]
    assert (await scene.carrier.tend()).promoted == 0


@pytest.mark.needs("pull")
async def test_tend_promotes_many_at_once(scene: Scene) -> None:
    jobs = [scene.job(due=SECOND) for _ in range(1500)]
    await scene.carrier.enqueue(jobs)
    scene.clock.advance(SECOND)
    promoted = 0
    for _ in range(20):
        promoted += (await scene.carrier.tend()).promoted
        if promoted == 1500:
            break
    assert promoted == 1500
    assert await scene.count(JobState.READY) == 1500


@pytest.mark.needs("fifo")
async def test_jobs_are_promoted_in_the_order_of_their_due_times(scene: Scene) -> None:
    third, first, second = [await scene.put(scene.job(due=due)) for due in (3 * SECOND, SECOND, 2 * SECOND)]
    scene.clock.advance(MINUTE)
    assert await scene.take_ids() == [first, second, third]


@pytest.mark.needs("fifo")
async def test_jobs_due_at_the_same_time_are_promoted_in_the_order_of_enqueue(scene: Scene) -> None:
    ids = [await scene.put(scene.job(due=SECOND)) for _ in range(20)]
    scene.clock.advance(SECOND)
    assert await scene.take_ids() == ids


@pytest.mark.needs("fifo")
async def test_a_promoted_job_goes_behind_those_that_are_ready(scene: Scene) -> None:
    delayed = await scene.put(scene.job(due=SECOND))
    ready = await scene.put()
    scene.clock.advance(SECOND)
    assert await scene.take_ids() == [ready, delayed]


@pytest.mark.needs("priority", "one_store")
async def test_a_promoted_job_keeps_its_priority(scene: Scene) -> None:
    urgent = await scene.put(scene.job(due=SECOND, priority=9))
    plain = await scene.put()
    scene.clock.advance(SECOND)
    assert await scene.take_ids() == [urgent, plain]


@pytest.mark.needs("max_delay_ms")
async def test_a_job_may_be_delayed_for_years(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=3650 * DAY))
    scene.clock.advance(3650 * DAY - 1)
    assert await scene.take() == []
    scene.clock.advance(1)
    assert await scene.take_ids() == [job_id]


@pytest.mark.needs("pull")
async def test_a_claim_says_when_the_next_job_of_any_queue_is_due(scene: Scene) -> None:
    await scene.put(scene.job(queue="other", due=MINUTE))
    await scene.put(scene.job(queue="q", due=HOUR))
    assert await _next_in_ms(scene) == MINUTE


@pytest.mark.needs("pull")
async def test_a_claim_says_nothing_is_due_when_nothing_is(scene: Scene) -> None:
    assert await _next_in_ms(scene) is None
    await scene.put()
    assert await _next_in_ms(scene) is None, "one's own lease is no reason to come back"


@pytest.mark.needs("pull")
async def test_tend_says_when_the_next_job_is_due(scene: Scene) -> None:
    assert (await scene.carrier.tend()).next_in_ms is None
    await scene.put(scene.job(due=MINUTE))
    assert (await scene.carrier.tend()).next_in_ms == MINUTE


@pytest.mark.needs("pull")
async def test_a_claim_says_when_the_next_waiting_job_expires(scene: Scene) -> None:
    await scene.put(scene.job(queue="other", expires=MINUTE))
    assert await _next_in_ms(scene) == MINUTE


@pytest.mark.needs("pull")
async def test_a_claim_says_when_the_lease_of_another_worker_runs_out(scene: Scene) -> None:
    """Promise 5 needs no sweeper: an idle worker knows when to look."""
    await scene.start(scene.job(queue="other"), worker="other", lease_ms=7 * SECOND)
    assert await _next_in_ms(scene) == 7 * SECOND


async def test_an_overdue_job_is_never_delivered(scene: Scene) -> None:
    job_id = await scene.put(scene.job(expires=MINUTE))
    scene.clock.advance(MINUTE)
    assert await scene.take() == []
    record = await scene.record(job_id)
    assert record.state is JobState.EXPIRED
    assert record.finished_ms == scene.now


async def test_a_job_is_delivered_up_to_its_expiry(scene: Scene) -> None:
    job_id = await scene.put(scene.job(expires=MINUTE))
    scene.clock.advance(MINUTE - 1)
    [delivery] = await scene.take()
    assert delivery.lease.job_id == job_id
    assert delivery.expires_ms == scene.now + 1


async def test_a_job_that_has_expired_at_its_enqueue_is_accepted_and_never_delivered(scene: Scene) -> None:
    job_id = await scene.put(scene.job(expires=0))
    assert await scene.take() == []
    assert await scene.state(job_id) is JobState.EXPIRED


async def test_a_scheduled_job_may_expire_before_it_is_due(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=HOUR, expires=MINUTE))
    scene.clock.advance(MINUTE)
    await scene.carrier.tend()
    assert await scene.state(job_id) is JobState.EXPIRED
    scene.clock.advance(HOUR)
    assert await scene.take() == []


async def test_a_job_both_due_and_overdue_expires(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=SECOND, expires=MINUTE))
    scene.clock.advance(HOUR)
    assert await scene.take() == []
    assert await scene.state(job_id) is JobState.EXPIRED


@pytest.mark.needs("pull")
async def test_tend_expires_and_says_how_many(scene: Scene) -> None:
    overdue = [await scene.put(scene.job(expires=SECOND)) for _ in range(3)]
    fresh = await scene.put(scene.job(expires=HOUR))
    scene.clock.advance(SECOND)
    assert (await scene.carrier.tend()).expired == 3
    assert await scene.states([*overdue, fresh]) == [JobState.EXPIRED] * 3 + [JobState.READY]
    assert (await scene.carrier.tend()).expired == 0


async def test_expired_jobs_do_not_hide_those_behind_them(scene: Scene) -> None:
    jobs = [scene.job(expires=SECOND) for _ in range(50)]
    await scene.carrier.enqueue(jobs)
    behind = await scene.put()
    scene.clock.advance(SECOND)
    assert await scene.take_ids(1) == [behind]
    assert await scene.count(JobState.EXPIRED) == 50
    assert await scene.count(JobState.READY) == 0


async def test_a_job_started_in_time_may_finish_after_its_expiry(scene: Scene) -> None:
    """Expiry is about the start: a running job is left alone."""
    delivery = await scene.start(scene.job(expires=SECOND))
    scene.clock.advance(2 * SECOND)
    assert (await scene.carrier.tend()).expired == 0
    assert await scene.settle(delivery, Succeeded())
    assert await scene.state(delivery.lease.job_id) is JobState.SUCCEEDED


async def test_a_worker_may_find_its_job_expired(scene: Scene) -> None:
    delivery = await scene.start(scene.job(expires=SECOND))
    assert await scene.settle(delivery, Expired())
    assert await scene.state(delivery.lease.job_id) is JobState.EXPIRED


async def test_an_expired_job_in_a_paused_queue_expires_all_the_same(scene: Scene) -> None:
    job_id = await scene.put(scene.job(expires=SECOND))
    await scene.carrier.pause("q")
    scene.clock.advance(SECOND)
    await scene.carrier.tend()
    assert await scene.state(job_id) is JobState.EXPIRED
