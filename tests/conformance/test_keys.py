"""Idempotency keys: one job per key as long as its record exists."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.job import JobState, Succeeded
from tests.conformance.scene import DAY, MINUTE, RETRYABLE, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store


@pytest.mark.parametrize("state", list(JobState))
async def test_a_key_is_held_in_every_state(scene: Scene, state: JobState) -> None:
    """A repeated request with the same idempotency key finds the first job, also when it is long done."""
    holder = await scene.reach(state, scene.job(queue="held", key="order-1"))
    second = scene.job(key="order-1")
    answer = await scene.offer(second)
    assert (answer.id, answer.duplicate_of) == (second.id, holder)
    assert await scene.state(second.id) is None
    assert await scene.take() == []


async def test_different_keys_do_not_meet(scene: Scene) -> None:
    keys = ["a", "b", "A", "a ", "", "a:b", "ab", "x" * 300]
    jobs = [scene.job(key=key) for key in keys if key]
    assert [answer.duplicate_of for answer in await scene.carrier.enqueue(jobs)] == [None] * len(jobs)
    for job in jobs:
        assert (await scene.offer(scene.job(key=job.key))).duplicate_of == job.id


@pytest.mark.needs("one_store")
async def test_a_key_is_one_across_queues_and_tasks(scene: Scene) -> None:
    holder = await scene.put(scene.job(queue="a", task="one", key="k"))
    assert (await scene.offer(scene.job(queue="b", task="two", key="k"))).duplicate_of == holder


async def test_a_key_taken_earlier_in_the_same_batch_counts(scene: Scene) -> None:
    jobs = [scene.job(key="k"), scene.job(), scene.job(key="k"), scene.job(key="other")]
    answers = await scene.carrier.enqueue(jobs)
    assert [answer.duplicate_of for answer in answers] == [None, None, jobs[0].id, None]
    accepted = [jobs[0].id, jobs[1].id, jobs[3].id]
    assert scene.ordered(await scene.take_ids()) == scene.ordered(accepted)


async def test_removing_the_job_frees_its_key(scene: Scene) -> None:
    holder = await scene.put(scene.job(key="k"))
    assert await scene.carrier.remove([holder]) == [True]
    await scene.put(scene.job(key="k"))


async def test_draining_the_queue_frees_its_keys(scene: Scene) -> None:
    await scene.put(scene.job(key="k"))
    await scene.put(scene.job(key="later", due=MINUTE))
    assert await scene.carrier.drain("q") == 2
    await scene.put(scene.job(key="k"))
    await scene.put(scene.job(key="later"))


async def test_cleaning_frees_keys(scene: Scene) -> None:
    await scene.reach(JobState.SUCCEEDED, scene.job(key="k"))
    scene.clock.advance(MINUTE)
    assert await scene.carrier.clean(JobState.SUCCEEDED, older_than_ms=0) == 1
    await scene.put(scene.job(key="k"))


async def test_the_end_of_retention_frees_the_key(scene: Scene) -> None:
    await scene.finish(await scene.start(scene.job(key="k")), Succeeded())
    scene.clock.advance(DAY + 1)
    await scene.carrier.tend()
    await scene.put(scene.job(key="k"))


@pytest.mark.parametrize("state", RETRYABLE)
async def test_a_job_retried_by_hand_still_holds_its_key(scene: Scene, state: JobState) -> None:
    holder = await scene.reach(state, scene.job(key="k"))
    await scene.carrier.retry([holder])
    assert (await scene.offer(scene.job(key="k"))).duplicate_of == holder
    assert (await scene.record(holder)).key == "k"


async def test_a_key_and_another_jobs_id_do_not_meet(scene: Scene) -> None:
    first = await scene.put()
    second = await scene.put(scene.job(key=first))
    assert await scene.states([first, second]) == [JobState.READY] * 2


async def test_of_concurrent_enqueues_with_one_key_one_is_accepted(scene: Scene, store: Store) -> None:
    """Two processes get the same request at the same time."""
    jobs = [scene.job(key="k") for _ in range(20)]
    async with store.broker() as other:
        answers = await asyncio.gather(
            *((scene.carrier, other)[number % 2].enqueue([job]) for number, job in enumerate(jobs))
        )
    accepted = [answer.id for [answer] in answers if answer.duplicate_of is None]
    assert len(accepted) == 1
    assert {answer.duplicate_of for [answer] in answers} == {None, accepted[0]}
    assert await scene.take_ids() == accepted


async def test_a_thousand_keys_in_a_batch(scene: Scene) -> None:
    count = scene.many(1000)
    jobs = [scene.job(key=f"k{number}") for number in range(count)]
    await scene.carrier.enqueue(jobs)
    answers = await scene.carrier.enqueue([scene.job(key=f"k{number}") for number in range(count)])
    assert [answer.duplicate_of for answer in answers] == [job.id for job in jobs]
    assert await scene.count(JobState.READY) == count


async def test_a_delivery_of_a_job_with_a_key_is_as_any_other(scene: Scene) -> None:
    delivery = await scene.start(scene.job(key="k"))
    await scene.finish(delivery, Succeeded(b"r"))
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.key, record.result) == (JobState.SUCCEEDED, "k", b"r")


async def test_the_end_of_retention_frees_the_key_also_while_nobody_looks(scene: Scene) -> None:
    """No worker ran, so nobody has pruned the record."""
    await scene.finish(await scene.start(scene.job(key="k")), Succeeded())
    scene.clock.advance(DAY - 1)
    assert (await scene.offer(scene.job(key="k"))).duplicate_of is not None
    scene.clock.advance(1)
    again = await scene.put(scene.job(key="k"))
    assert await scene.take_ids() == [again]
