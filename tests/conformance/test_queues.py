"""Acts by hand on queues and jobs: pause, resume, drain, clean, remove, promote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import QueueWant
from headway.job import Failed, JobState, Succeeded, WorkerId
from tests.conformance.scene import HOUR, LEASE_MS, MINUTE, SECOND, TERMINAL, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store


async def test_a_paused_queue_hands_out_nothing(scene: Scene) -> None:
    job_id = await scene.put()
    await scene.carrier.pause("q")
    assert await scene.take() == []
    assert await scene.state(job_id) is JobState.READY
    await scene.carrier.resume("q")
    assert await scene.take_ids() == [job_id]


@pytest.mark.needs("fifo")
async def test_a_paused_queue_accepts_jobs_and_keeps_their_order(scene: Scene) -> None:
    await scene.carrier.pause("q")
    ids = [await scene.put() for _ in range(3)]
    await scene.carrier.resume("q")
    assert await scene.take_ids() == ids


async def test_running_jobs_of_a_paused_queue_go_on(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.carrier.pause("q")
    scene.clock.advance(SECOND)
    [beat] = await scene.carrier.heartbeat([WorkerId("w")], LEASE_MS)
    assert beat.held
    assert await scene.settle(delivery, Succeeded())


async def test_other_queues_of_the_same_claim_are_served(scene: Scene) -> None:
    await scene.put(scene.job(queue="a"))
    other = await scene.put(scene.job(queue="b"))
    await scene.carrier.pause("a")
    claimed = await scene.carrier.claim(
        [QueueWant("a", 5), QueueWant("b", 5)], worker=WorkerId("w"), limit=5, lease_ms=LEASE_MS
    )
    assert [delivery.lease.job_id for delivery in claimed.deliveries] == [other]


async def test_pause_and_resume_are_idempotent(scene: Scene) -> None:
    for _ in range(2):
        await scene.carrier.pause("q")
    assert await scene.carrier.paused() == {"q"}
    for _ in range(2):
        await scene.carrier.resume("q")
    assert await scene.carrier.paused() == frozenset()


async def test_a_pause_is_seen_by_every_process_and_survives_them(scene: Scene, store: Store) -> None:
    async with store.broker() as other:
        await other.pause("q")
        await other.pause("übung:|x")
    assert await scene.carrier.paused() == {"q", "übung:|x"}
    await scene.put()
    assert await scene.take() == []


async def test_jobs_of_a_paused_queue_are_promoted_and_wait(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=SECOND))
    await scene.carrier.pause("q")
    scene.clock.advance(SECOND)
    assert await scene.take() == []
    await scene.carrier.tend()
    assert await scene.state(job_id) is JobState.READY
    await scene.carrier.resume("q")
    assert await scene.take_ids() == [job_id]


@pytest.mark.needs("pull")
async def test_a_reclaimed_job_of_a_paused_queue_waits(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.carrier.pause("q")
    scene.clock.advance(LEASE_MS + 1)
    assert await scene.take(worker="other") == []
    assert await scene.state(delivery.lease.job_id) is JobState.READY


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.RUNNING])
async def test_a_removed_job_is_forgotten(scene: Scene, state: JobState) -> None:
    job_id = await scene.reach(state)
    assert await scene.carrier.remove([job_id]) == [True]
    assert await scene.state(job_id) is None
    assert await scene.carrier.remove([job_id]) == [False]
    assert await scene.count(state) == 0
    scene.clock.advance(HOUR)
    assert await scene.take() == []


async def test_a_running_job_is_not_removed(scene: Scene) -> None:
    delivery = await scene.start()
    assert await scene.carrier.remove([delivery.lease.job_id]) == [False]
    assert await scene.settle(delivery, Succeeded())


async def test_a_batch_is_removed_each_on_its_own(scene: Scene) -> None:
    running = await scene.reach(JobState.RUNNING, scene.job(queue="a"))
    done = await scene.reach(JobState.SUCCEEDED, scene.job(queue="b"))
    ready = await scene.put(scene.job(queue="c"))
    assert await scene.carrier.remove([ready, running, scene.job().id, done]) == [True, False, False, True]
    assert await scene.carrier.remove([]) == []


async def test_the_jobs_around_a_removed_one_keep_their_order(scene: Scene) -> None:
    ids = await scene.put_many(6)
    await scene.carrier.remove([ids[0], ids[3]])
    assert await scene.count(JobState.READY) == 4
    left = [ids[n] for n in (1, 2, 4, 5)]
    assert scene.ordered(await scene.take_ids()) == scene.ordered(left)


@pytest.mark.needs("reuse_ids")
@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.RUNNING])
async def test_the_id_of_a_removed_job_may_be_enqueued_again(scene: Scene, state: JobState) -> None:
    """It is unknown now; a leftover of the first one must not hide or double the second."""
    job = scene.job()
    await scene.reach(state, job)
    await scene.carrier.remove([job.id])
    await scene.put(job)
    record = await scene.record(job.id)
    assert (record.state, record.attempt, record.result, record.finished_ms) == (JobState.READY, 0, b"", None)
    assert await scene.count(JobState.READY) == 1
    assert await scene.take_ids() == [job.id]
    assert await scene.take() == []


async def test_a_scheduled_job_is_promoted_by_hand(scene: Scene) -> None:
    later = await scene.put(scene.job(due=HOUR))
    ready = await scene.put()
    assert await scene.carrier.promote([later]) == [True]
    assert await scene.state(later) is JobState.READY
    assert scene.ordered(await scene.take_ids()) == scene.ordered([ready, later])
    scene.clock.advance(HOUR)
    assert (await scene.carrier.tend()).promoted == 0


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.SCHEDULED])
async def test_other_jobs_are_not_promoted(scene: Scene, state: JobState) -> None:
    job_id = await scene.reach(state)
    before = await scene.record(job_id)
    assert await scene.carrier.promote([job_id]) == [False]
    assert await scene.record(job_id) == before


async def test_a_batch_is_promoted_each_on_its_own(scene: Scene) -> None:
    later = [await scene.put(scene.job(due=HOUR)) for _ in range(2)]
    ready = await scene.put()
    assert await scene.carrier.promote([later[1], ready, scene.job().id, later[0]]) == [
        True,
        False,
        False,
        True,
    ]
    assert await scene.carrier.promote([]) == []


async def test_a_promoted_job_still_expires(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=HOUR, expires=MINUTE))
    await scene.carrier.promote([job_id])
    scene.clock.advance(MINUTE)
    assert await scene.take() == []
    assert await scene.state(job_id) is JobState.EXPIRED


async def test_draining_removes_what_waits_and_nothing_else(scene: Scene) -> None:
    done = await scene.reach(JobState.SUCCEEDED)
    running = await scene.start()
    ready = await scene.put_many(3)
    scheduled = await scene.put(scene.job(due=HOUR, priority=9))
    other = await scene.put(scene.job(queue="other"))
    assert await scene.carrier.drain("q") == 4
    assert await scene.states([*ready, scheduled]) == [None] * 4
    assert await scene.states([done, running.lease.job_id, other]) == [
        JobState.SUCCEEDED,
        JobState.RUNNING,
        JobState.READY,
    ]
    assert await scene.carrier.drain("q") == 0
    assert await scene.settle(running, Succeeded())


async def test_draining_thousands_leaves_a_working_queue(scene: Scene) -> None:
    plain, urgent = scene.many(2500, least=1100), scene.many(500)
    await scene.put_many(plain)
    await scene.put_many(urgent, priority=9)
    assert await scene.carrier.drain("q") == plain + urgent
    assert await scene.take() == []
    after = await scene.put()
    assert await scene.take_ids() == [after]


async def test_draining_counts_cancelled_jobs_of_the_queue_not(scene: Scene) -> None:
    ids = await scene.put_many(4)
    await scene.carrier.cancel(ids[:2])
    assert await scene.carrier.drain("q") == 2
    assert await scene.states(ids) == [JobState.CANCELLED, JobState.CANCELLED, None, None]


async def test_draining_a_paused_queue_leaves_it_paused(scene: Scene) -> None:
    await scene.put()
    await scene.carrier.pause("q")
    assert await scene.carrier.drain("q") == 1
    assert await scene.carrier.paused() == {"q"}


async def test_draining_an_unknown_queue_removes_nothing(scene: Scene) -> None:
    assert await scene.carrier.drain("unknown") == 0


@pytest.mark.parametrize("state", TERMINAL)
async def test_cleaning_removes_old_completed_jobs_of_a_state(scene: Scene, state: JobState) -> None:
    old = await scene.reach(state, scene.job(queue="a"))
    scene.clock.advance(HOUR)
    young = await scene.reach(state, scene.job(queue="a"))
    scene.clock.advance(SECOND)
    assert await scene.carrier.clean(state, older_than_ms=MINUTE) == 1
    assert await scene.states([old, young]) == [None, state]
    scene.clock.advance(MINUTE)
    assert await scene.carrier.clean(state, older_than_ms=MINUTE) == 1


async def test_cleaning_leaves_other_states_alone(scene: Scene) -> None:
    ids = [await scene.reach(state, scene.job(queue=state)) for state in JobState]
    scene.clock.advance(MINUTE)
    assert await scene.carrier.clean(JobState.FAILED, older_than_ms=SECOND) == 1
    left = [job_id for job_id, state in zip(ids, await scene.states(ids), strict=True) if state is None]
    assert left == [ids[list(JobState).index(JobState.FAILED)]]


async def test_cleaning_may_be_bound_to_a_queue(scene: Scene) -> None:
    a = await scene.reach(JobState.FAILED, scene.job(queue="a"))
    b = await scene.reach(JobState.FAILED, scene.job(queue="b"))
    scene.clock.advance(MINUTE)
    assert await scene.carrier.clean(JobState.FAILED, older_than_ms=0, queue="a") == 1
    assert await scene.states([a, b]) == [None, JobState.FAILED]


@pytest.mark.needs("one_store")
async def test_cleaning_stops_at_its_limit_and_takes_the_oldest(scene: Scene) -> None:
    ids = []
    for _ in range(5):
        ids.append(await scene.reach(JobState.SUCCEEDED))
        scene.clock.advance(SECOND)
    assert await scene.carrier.clean(JobState.SUCCEEDED, older_than_ms=0, limit=2) == 2
    assert await scene.states(ids) == [None, None] + [JobState.SUCCEEDED] * 3
    assert await scene.carrier.clean(JobState.SUCCEEDED, older_than_ms=0) == 3


async def test_cleaning_leaves_a_job_alone_that_was_retried_by_hand(scene: Scene) -> None:
    """A new life is not old, whenever the former one ended."""
    job_id = await scene.reach(JobState.FAILED)
    scene.clock.advance(HOUR)
    await scene.carrier.retry([job_id])
    assert await scene.carrier.clean(JobState.FAILED, older_than_ms=MINUTE) == 0
    await scene.finish(await scene.take_one(), Failed(b"again"))
    assert await scene.carrier.clean(JobState.FAILED, older_than_ms=MINUTE) == 0
    assert await scene.state(job_id) is JobState.FAILED
    scene.clock.advance(HOUR)
    assert await scene.carrier.clean(JobState.FAILED, older_than_ms=MINUTE) == 1
