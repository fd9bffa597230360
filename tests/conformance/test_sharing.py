"""Several brokers on one store, several apps in one store, several processes."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import JobQuery, ScheduleRecord, Wake
from headway.job import Fire, JobId, JobState, Lease, Succeeded, UniqueLock, UniqueMode, WorkerId
from tests.conformance.listening import DEADLINE_S, Listener, events_since, settled_cursor
from tests.conformance.scene import HOUR, LEASE_MS, SECOND, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store


async def test_brokers_on_one_store_see_the_same_jobs(scene: Scene, store: Store) -> None:
    async with store.broker() as broker:
        other = Scene(broker, scene.clock)
        job_id = await scene.put()
        assert await other.state(job_id) is JobState.READY
        delivery = await other.take_one(worker="other")
        assert await scene.state(job_id) is JobState.RUNNING
        await scene.finish(delivery, Succeeded(b"settled through the first"))
        assert (await other.record(job_id)).result == b"settled through the first"


@pytest.mark.needs("pull")
async def test_a_worker_is_one_whichever_broker_speaks_for_it(scene: Scene, store: Store) -> None:
    """The supervising process beats for its children over a connection of its own."""
    async with store.broker() as supervisor:
        await scene.start()
        scene.clock.advance(LEASE_MS - SECOND)
        [beat] = await supervisor.heartbeat([WorkerId("w")], LEASE_MS)
        assert beat.held
        scene.clock.advance(LEASE_MS - SECOND)
        assert (await scene.carrier.tend()).reclaimed == 0
        assert await supervisor.surrender(WorkerId("w"), started=None) == 1


@pytest.mark.needs("fifo")
async def test_order_holds_across_brokers(scene: Scene, store: Store) -> None:
    """Promise 8: FIFO per queue, whoever enqueues."""
    async with store.broker() as broker:
        other = Scene(broker, scene.clock)
        ids = [await (scene, other)[n % 2].put() for n in range(10)]
        assert [(await (scene, other)[n % 3 == 0].take_one()).lease.job_id for n in range(10)] == ids


async def test_namespaces_never_see_each_others_jobs(scene: Scene, store: Store) -> None:
    async with store.broker(namespace=f"{store.namespace}-b") as broker:
        other = Scene(broker, scene.clock)
        job_id = await scene.put(scene.job(key="k"))
        assert await other.take() == []
        assert await other.state(job_id) is None
        assert (await broker.list(JobQuery())).jobs == []
        assert await broker.counts() == []
        assert await broker.remove([job_id]) == [False]
        assert await broker.retry([job_id]) == [False]
        assert await broker.promote([job_id]) == [False]
        assert await broker.drain("q") == 0
        [answer] = await broker.cancel([job_id])
        assert answer.state is None
        assert await scene.state(job_id) is JobState.READY


async def test_namespaces_share_no_names(scene: Scene, store: Store) -> None:
    """Keys, fires, schedules, pauses, workers and even job ids are the app's own."""
    async with store.broker(namespace=f"{store.namespace}-b") as broker:
        other = Scene(broker, scene.clock)
        job = scene.job(key="k", fire=Fire("s", scene.now))
        await scene.put(job)
        await other.put(job)
        await scene.carrier.declare_schedules([ScheduleRecord("s", "x", "t")])
        assert await broker.schedules() == []
        await scene.carrier.pause("q")
        assert await broker.paused() == frozenset()
        assert await scene.take() == []
        delivery = await other.take_one()
        assert await scene.carrier.workers() == []
        assert not await scene.settle(delivery, Succeeded())
        [beat] = await scene.carrier.heartbeat([WorkerId("w")], LEASE_MS)
        assert not beat.held
        assert await other.settle(delivery, Succeeded())
        assert await scene.state(job.id) is JobState.READY


@pytest.mark.needs("pull", "unique")
async def test_namespaces_share_no_locks_and_no_workers(scene: Scene, store: Store) -> None:
    async with store.broker(namespace=f"{store.namespace}-b") as broker:
        other = Scene(broker, scene.clock)
        job = scene.job(unique=UniqueLock("u", UniqueMode.REJECT))
        await scene.put(job)
        await other.put(job)
        delivery = await other.take_one()
        assert await scene.carrier.workers() == []
        assert await scene.carrier.surrender(WorkerId("w"), started=None) == 0
        assert await other.settle(delivery, Succeeded())


@pytest.mark.needs("pull")
async def test_namespaces_tend_for_themselves(scene: Scene, store: Store) -> None:
    async with store.broker(namespace=f"{store.namespace}-b") as broker:
        other = Scene(broker, scene.clock)
        scheduled = await scene.put(scene.job(due=SECOND))
        running = await scene.start(scene.job(queue="r"))
        scene.clock.advance(HOUR)
        tended = await broker.tend()
        assert (tended.promoted, tended.expired, tended.reclaimed, tended.pruned) == (0, 0, 0, 0)
        assert tended.next_in_ms is None
        assert await other.take() == []
        states = await scene.states([scheduled, running.lease.job_id])
        assert states == [JobState.SCHEDULED, JobState.RUNNING]


async def test_namespaces_that_begin_alike_are_apart(scene: Scene, store: Store) -> None:
    """No prefix of a name may open the other's store."""
    names = [f"{store.namespace}{suffix}" for suffix in ("", "x", "-", "_1")]
    ids: dict[str, JobId] = {}
    for name in names:
        async with store.broker(namespace=name) as broker:
            ids[name] = await Scene(broker, scene.clock).put()
    for name in names:
        async with store.broker(namespace=name) as broker:
            assert await Scene(broker, scene.clock).take_ids() == [ids[name]]
            assert [row.queue for row in await broker.counts()] == ["q"]


@pytest.mark.needs("events")
async def test_namespaces_have_their_own_events(store: Store, scene: Scene) -> None:
    async with (
        store.broker(record_events=True) as first,
        store.broker(record_events=True, namespace=f"{store.namespace}-b") as second,
    ):
        one, two = Scene(first, scene.clock), Scene(second, scene.clock)
        cursor = await settled_cursor(one)
        await two.put()
        job_id = await one.put()
        assert [event.job_id for event in await events_since(one, cursor)] == [job_id]


async def test_a_lease_of_one_namespace_is_none_in_another(scene: Scene, store: Store) -> None:
    """Promise 3: also when job ids and workers' names are the same."""
    async with store.broker(namespace=f"{store.namespace}-b") as broker:
        other = Scene(broker, scene.clock)
        job = scene.job()
        mine, theirs = await scene.start(job), await other.start(job)
        assert mine.lease == theirs.lease == Lease(job.id, WorkerId("w"), 1)
        await scene.finish(mine)
        assert await other.state(job.id) is JobState.RUNNING
        await other.finish(theirs)


_CHILD = """
import asyncio, sys
from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.job import NewJob, new_job_id

async def main(url, namespace):
    async with from_url(url, BrokerSettings(namespace=namespace)) as broker:
        job = NewJob(id=new_job_id(), task="shop.pay", queue="q", payload=b"from the child")
        await broker.enqueue([job])
        record = await broker.wait_finished(job.id, 20_000)
        print(job.id, record.state, record.result.decode(), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.needs("pull", "one_store")
async def test_a_job_travels_between_processes_and_its_result_back(scene: Scene, store: Store) -> None:
    """Promise 1 and A5: another process enqueues, an idle worker here is woken, the result goes back."""
    worker = WorkerId("w")
    async with Listener(scene.carrier.signals(worker)) as listener:
        await listener.next()
        assert await scene.take() == []
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, store.url, store.namespace, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(4 * DEADLINE_S):
            while not (deliveries := await scene.take()):
                await listener.until(lambda signal: isinstance(signal, Wake))
            [delivery] = deliveries
            assert delivery.payload == b"from the child"
            await scene.finish(delivery, Succeeded(b"from the parent"))
            output, _ = await child.communicate()
    assert output.decode().split(maxsplit=2) == [delivery.lease.job_id, "succeeded", "from the parent\n"]


async def test_brokers_come_and_go_while_others_work(scene: Scene, store: Store) -> None:
    """Short-lived processes, as in serverless: nothing is lost and nobody is disturbed."""

    async def visit() -> JobId:
        async with store.broker() as broker:
            return await Scene(broker, scene.clock).put()

    ids = await asyncio.gather(*(visit() for _ in range(12)))
    assert sorted(await scene.take_ids()) == sorted(ids)
