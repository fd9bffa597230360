"""Promise 1, *accepted means durable*, and the idempotence of enqueue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import QueueWant
from headway.job import Failed, JobId, JobRecord, JobState, Succeeded, UniqueLock, UniqueMode, WorkerId
from tests.conformance.scene import HOUR, MINUTE, SECOND, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store


async def test_an_accepted_job_is_recorded_as_given(scene: Scene) -> None:
    job = scene.job(
        queue="mail", task="shop.send", payload=b"\x00\xffdata", priority=7, expires=HOUR, key="order-1"
    )
    await scene.put(job)
    record = await scene.record(job.id)
    assert (
        record
        == JobRecord(
            id=job.id,
            logged=record.logged,  # whether it may have a log: test_log_lines_are_kept_in_their_order in test_results
            task="shop.send",
            queue="mail",
            state=JobState.READY,
            priority=7,
            payload=b"\x00\xffdata",
            expires_ms=scene.now + HOUR,
            key="order-1",
        )
    )


async def test_a_delayed_job_is_recorded_with_its_due_time(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=MINUTE))
    record = await scene.record(job_id)
    assert record.state is JobState.SCHEDULED
    assert record.due_ms == scene.now + MINUTE


@pytest.mark.parametrize("due", [0, -1, -HOUR])
async def test_a_job_due_now_or_earlier_is_ready_at_once(scene: Scene, due: int) -> None:
    job_id = await scene.put(scene.job(due=due))
    assert await scene.state(job_id) is JobState.READY


async def test_an_empty_batch_is_accepted(scene: Scene) -> None:
    assert await scene.carrier.enqueue([]) == []


@pytest.mark.parametrize("size", [1, 2, 999, 1000, 2500])
async def test_a_batch_of_any_size_is_accepted_whole_and_in_order(scene: Scene, size: int) -> None:
    size = min(size, scene.many(size, least=120))
    ids = await scene.put_many(size)
    assert await scene.count(JobState.READY) == size
    assert scene.ordered(await scene.take_ids(size)) == scene.ordered(ids)


async def test_a_batch_may_mix_queues_delays_and_keys(scene: Scene) -> None:
    jobs = [
        scene.job(queue="a"),
        scene.job(queue="b", due=MINUTE),
        scene.job(queue="a", key="k"),
        scene.job(queue="c", expires=MINUTE),
    ]
    assert [answer.duplicate_of for answer in await scene.carrier.enqueue(jobs)] == [None] * 4
    assert scene.ordered(await scene.take_ids(queue="a")) == scene.ordered([jobs[0].id, jobs[2].id])
    assert await scene.states([jobs[1].id, jobs[3].id]) == [JobState.SCHEDULED, JobState.READY]


@pytest.mark.needs("priority", "unique", "one_store")
async def test_a_batch_may_mix_priorities_and_locks_as_well(scene: Scene) -> None:
    jobs = [
        scene.job(queue="a", priority=1),
        scene.job(queue="b", due=MINUTE),
        scene.job(queue="a", priority=9, key="k"),
        scene.job(queue="c", expires=MINUTE),
        scene.job(queue="a", unique=UniqueLock("u", UniqueMode.REJECT)),
    ]
    assert [answer.duplicate_of for answer in await scene.carrier.enqueue(jobs)] == [None] * 5
    assert await scene.take_ids(queue="a") == [jobs[2].id, jobs[4].id, jobs[0].id]
    assert await scene.states([jobs[1].id, jobs[3].id]) == [JobState.SCHEDULED, JobState.READY]


async def test_accepted_jobs_survive_the_end_of_the_process(scene: Scene, store: Store) -> None:
    """Promise 1: another broker, opened after the first one is closed, finds all of them."""
    ready, delayed = await scene.put(), await scene.put(scene.job(due=MINUTE))
    await scene.carrier.close()
    async with store.broker() as later:
        again = Scene(later, scene.clock)
        assert await again.states([ready, delayed]) == [JobState.READY, JobState.SCHEDULED]
        assert await again.take_ids() == [ready]


async def test_repeating_an_enqueue_adds_nothing(scene: Scene) -> None:
    """Idempotence: a caller that lost the answer repeats the call."""
    jobs = [scene.job() for _ in range(3)]
    first = await scene.carrier.enqueue(jobs)
    assert await scene.carrier.enqueue(jobs) == first
    assert await scene.count(JobState.READY) == 3
    assert scene.ordered(await scene.take_ids()) == scene.ordered([job.id for job in jobs])


@pytest.mark.parametrize("state", list(JobState))
async def test_repeating_an_enqueue_changes_no_job_in_any_state(scene: Scene, state: JobState) -> None:
    """Idempotence: the job may have gone on meanwhile."""
    job = scene.job(due=HOUR) if state is JobState.SCHEDULED else scene.job()
    await scene.reach(state, job)
    before = await scene.record(job.id)
    answer = await scene.offer(job)
    assert (answer.id, answer.duplicate_of) == (job.id, None)
    assert await scene.record(job.id) == before
    if state is not JobState.READY:
        assert await scene.take() == []


async def test_repeating_a_batch_that_was_partly_accepted_adds_the_rest(scene: Scene) -> None:
    jobs = [scene.job() for _ in range(4)]
    await scene.carrier.enqueue(jobs[:2])
    await scene.carrier.enqueue(jobs)
    assert scene.ordered(await scene.take_ids()) == scene.ordered([job.id for job in jobs])


async def test_repeating_an_enqueue_with_a_key_is_no_duplicate_of_itself(scene: Scene) -> None:
    job = scene.job(key="k")
    await scene.put(job)
    assert (await scene.offer(job)).duplicate_of is None
    assert await scene.count(JobState.READY) == 1


@pytest.mark.needs("unique")
async def test_repeating_an_enqueue_with_key_and_unique_lock_is_no_duplicate_of_itself(scene: Scene) -> None:
    job = scene.job(key="k", unique=UniqueLock("u", UniqueMode.REJECT))
    await scene.put(job)
    assert (await scene.offer(job)).duplicate_of is None
    assert await scene.count(JobState.READY) == 1


async def test_the_same_id_twice_in_one_call_is_one_job(scene: Scene) -> None:
    job = scene.job()
    answers = await scene.carrier.enqueue([job, job])
    assert [(answer.id, answer.duplicate_of) for answer in answers] == [(job.id, None)] * 2
    assert await scene.take_ids() == [job.id]


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", bytes(range(256)) * 4, b"a|b:c,d\x1f\x1e\n\r", "naïve ☃ 漢字".encode()],
    ids=["empty", "nul", "all bytes", "separators", "utf-8"],
)
async def test_a_payload_arrives_byte_for_byte(scene: Scene, payload: bytes) -> None:
    delivery = await scene.start(scene.job(payload=payload))
    assert delivery.payload == payload
    assert (await scene.record(delivery.lease.job_id)).payload == payload


@pytest.mark.parametrize(
    "size",
    [
        64 * 1024,
        pytest.param(1024 * 1024, marks=pytest.mark.needs("max_payload")),
        pytest.param(8 * 1024 * 1024, marks=pytest.mark.needs("max_payload")),
    ],
)
async def test_a_big_payload_arrives_whole(scene: Scene, size: int) -> None:
    payload = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    delivery = await scene.start(scene.job(payload=payload))
    assert delivery.payload == payload
    await scene.finish(delivery, Succeeded(payload))
    assert (await scene.record(delivery.lease.job_id)).result == payload


@pytest.mark.needs("one_store")
@pytest.mark.parametrize(
    "name",
    [
        "",
        "courrier-é",
        "очередь",
        "優先",
        "a b",
        "a:b",
        "a|b",
        "a,b",
        "{a}",
        "a{b",
        "}",
        "a*b?[c]",
        "%s",
        "'; --",
        '"',
        "\\",
        "x" * 200,
        "a\nb",
        "a\x00b",
    ],
)
async def test_any_queue_task_and_key_works_or_is_refused_before_anything_is_written(
    scene: Scene, name: str
) -> None:
    """Hostile names: separators of keys, patterns, quotes."""
    job = scene.job(queue=name, task=name, key=name)
    bystander = scene.job(queue="bystander")
    try:
        await scene.carrier.enqueue([bystander, job])
    except ValueError:
        assert await scene.states([bystander.id, job.id]) == [None, None]
        return
    assert await scene.take_ids(queue="bystander") == [bystander.id]
    delivery = await scene.take_one(queue=name)
    assert (delivery.lease.job_id, delivery.queue, delivery.task) == (job.id, name, name)
    assert (await scene.offer(scene.job(queue=name, key=name))).duplicate_of == job.id
    await scene.finish(delivery, Failed(b"h"))
    assert (await scene.record(job.id)).key == name
    assert await scene.count(JobState.FAILED, name) == 1
    assert await scene.carrier.retry([job.id]) == [True]
    assert await scene.take_ids(queue=name) == [job.id]


async def test_names_that_look_alike_are_different_queues(scene: Scene) -> None:
    """No separator of the store may join two names into one."""
    queues = ["a", "a:b", "a|b", "b", "5:a", "0:a", "9", "A", "a ", "a\tb"]
    ids = {queue: await scene.put(scene.job(queue=queue)) for queue in queues}
    for queue, job_id in ids.items():
        assert await scene.take_ids(queue=queue) == [job_id]


async def test_opening_twice_and_closing_twice_do_nothing(scene: Scene, store: Store) -> None:
    broker = store.broker()
    await broker.open()
    await broker.open()
    job = scene.job()
    await broker.enqueue([job])
    await broker.close()
    await broker.close()
    assert await scene.state(job.id) is JobState.READY


async def test_a_closed_broker_can_be_opened_again(scene: Scene) -> None:
    job_id = await scene.put()
    await scene.carrier.close()
    await scene.carrier.open()
    assert await scene.take_ids() == [job_id]


async def test_concurrent_enqueues_of_one_broker_are_all_accepted(scene: Scene) -> None:
    jobs = [scene.job() for _ in range(200)]
    await asyncio.gather(*(scene.put(job) for job in jobs))
    assert sorted(await scene.take_ids(1000)) == sorted(job.id for job in jobs)


async def test_concurrent_repeats_of_one_job_accept_it_once(scene: Scene, store: Store) -> None:
    """Idempotence under a race of two processes."""
    job = scene.job()
    async with store.broker() as other:
        answers = await asyncio.gather(*(broker.enqueue([job]) for broker in (scene.carrier, other) * 10))
    assert {(answer.id, answer.duplicate_of) for [answer] in answers} == {(job.id, None)}
    assert await scene.take_ids() == [job.id]


@pytest.mark.needs("atomic", "fifo")
async def test_a_cancelled_call_leaves_the_broker_sound_and_the_batch_whole(scene: Scene) -> None:
    """All or none, even when the caller stops waiting for the answer."""
    batches = [[scene.job() for _ in range(50)] for _ in range(10)]
    calls = [asyncio.create_task(scene.carrier.enqueue(batch)) for batch in batches]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    after = await scene.put()
    taken = await scene.take_ids(1000)
    assert taken[-1] == after
    for number, batch in enumerate(batches):
        found = sum(job.id in taken for job in batch)
        assert found in ((0, 50) if number % 2 == 0 else (50,))


async def test_get_answers_in_the_order_of_the_ids_and_none_for_unknown_ones(scene: Scene) -> None:
    first, second = await scene.put_many(2)
    unknown = scene.job().id
    records = await scene.carrier.get([second, unknown, first, second])
    assert [record and record.id for record in records] == [second, None, first, second]
    assert await scene.carrier.get([]) == []
    assert await scene.carrier.get([JobId("not an id at all")]) == [None]


async def test_the_time_of_enqueue_is_that_of_the_id(scene: Scene) -> None:
    job_id = await scene.put()
    enqueued = scene.now
    scene.clock.advance(5 * SECOND)
    assert (await scene.record(job_id)).enqueued_ms == enqueued


async def test_a_job_is_accepted_while_a_worker_claims_other_queues(scene: Scene) -> None:
    """Nothing that one worker does blocks an enqueue."""
    claims = [
        scene.carrier.claim([QueueWant(f"q{n}", 10)], worker=WorkerId(f"w{n}"), limit=10, lease_ms=MINUTE)
        for n in range(20)
    ]
    *_, job_id = await asyncio.gather(*claims, scene.put(scene.job(queue="other")))
    assert await scene.take_ids(queue="other") == [job_id]
