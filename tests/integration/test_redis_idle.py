"""Who is woken on Redis: a worker that has a place for the job, and another when that one cannot hear."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.brokers.base import BrokerSettings, CancelRequested, Handed, QueueWant, Settlement, Wake
from headway.brokers.redis.broker import RedisBroker
from headway.brokers.redis.session import Kind
from headway.job import Delivery, JobId, NewJob, Succeeded, WorkerId, new_job_id
from headway.runtime.worker import Worker
from tests.conformance.listening import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.brokers.base import Claimed, Signal

LEASE_MS = 30_000
DEADLINE = 20


class Place:
    """Workers that listen, on one broker."""

    def __init__(self, broker: RedisBroker, stack: AsyncExitStack) -> None:
        self.broker = broker
        self._stack = stack
        self._ears: dict[str, Listener[Signal]] = {}

    async def listen(self, *workers: str) -> None:
        for worker in workers:
            ear = Listener(self.broker.signals(WorkerId(worker)))
            self._ears[worker] = await self._stack.enter_async_context(ear)
            assert await ear.next() == Wake()

    async def claim(self, worker: str, limit: int, **wants: int) -> Claimed:
        return await self.broker.claim(
            [QueueWant(queue, most) for queue, most in wants.items()],
            worker=WorkerId(worker),
            limit=limit,
            lease_ms=LEASE_MS,
        )

    async def put(self, queue: str, count: int = 2) -> list[JobId]:
        """Enqueue; more than one, so that none is handed over by message."""
        jobs = [NewJob(new_job_id(), "t", queue, b"payload") for _ in range(count)]
        await self.broker.enqueue(jobs)
        return [job.id for job in jobs]

    async def two_idle_one_woken(self) -> tuple[str, str]:
        """Jobs are ready in queue a; return the worker that was woken, and the one that still idles."""
        workers = ("one", "two")
        await self.listen(*workers)
        # No deputy beside them: it would look a second later.
        await self.broker._session.command("SET", f"{self.broker._session.prefix}deputy", 1)
        for worker in workers:
            await self.claim(worker, 5, a=5)
        await self.put("a")
        heard = {worker: await self.heard(worker) for worker in workers}
        [woken] = [worker for worker in workers if heard[worker] == [Wake()]]
        [other] = [worker for worker in workers if heard[worker] == []]
        return woken, other

    async def settle(self, *deliveries: Delivery) -> None:
        await self.broker.settle([Settlement(delivery.lease, Succeeded()) for delivery in deliveries])

    async def heard(self, worker: str) -> list[Signal]:
        """What the worker has heard until now: a request to cancel what it does not hold ends the list."""
        channel = f"{self.broker._session.prefix}ch:w:{worker}"
        await self.broker._session.command("PUBLISH", channel, "Cend")
        *before, _ = await self._ears[worker].until(lambda signal: isinstance(signal, CancelRequested))
        return before

    async def next_of(self, worker: str) -> Signal:
        return await self._ears[worker].next()

    async def members(self, key: str) -> set[bytes]:
        return set(await self.broker._session.command("SMEMBERS", f"{self.broker._session.prefix}{key}"))

    async def idle(self) -> list[bytes]:
        """All that may be woken, each as often as it could be."""
        found: list[bytes] = []
        for name in await self.members("classes"):
            found += await self.members(f"idle:{name.decode()}")
        return sorted(found)


@pytest.fixture
async def place(redis_url: str, namespace: str) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(RedisBroker.from_url(redis_url, BrokerSettings(namespace)))
        await broker._session.numbers(
            [Kind(5, "any", "t")]
        )  # of a new data set, all who listen are woken once
        yield Place(broker, stack)


async def test_a_worker_that_reached_the_limit_of_a_queue_is_not_woken_for_it(place: Place) -> None:
    await place.listen("full", "free")
    await place.put("a")
    claimed = await place.claim("full", 10, a=1, b=10)
    assert len(claimed.deliveries) == 1
    assert claimed.next_in_ms == 0  # at once again, without that queue
    assert await place.idle() == []
    await place.claim("full", 9, b=9)
    await place.settle(*(await place.claim("free", 10, a=10, b=10)).deliveries)
    await place.claim("free", 10, a=10, b=10)
    await place.put("a")
    assert await place.next_of("free") == Wake()
    assert await place.heard("full") == []
    await place.put("b")
    assert await place.next_of("full") == Wake()


async def test_who_wants_other_queues_now_is_idle_for_those_only(place: Place) -> None:
    await place.listen("w")
    await place.claim("w", 5, a=5, b=5)
    await place.claim("w", 5, b=5)
    assert await place.idle() == [b"w"]
    await place.put("a")
    assert await place.heard("w") == []
    await place.claim("w", 5, a=5, b=5)


async def test_who_claims_nothing_is_not_woken_and_passes_the_word_on(place: Place) -> None:
    woken, other = await place.two_idle_one_woken()
    assert (await place.claim(woken, 0)).deliveries == []
    assert await place.next_of(other) == Wake()
    assert await place.idle() == []


async def test_the_word_on_a_paused_queue_is_not_passed_on(place: Place) -> None:
    woken, other = await place.two_idle_one_woken()
    await place.broker.pause("a")
    await place.claim(woken, 0)
    assert await place.heard(other) == []


async def test_a_job_is_handed_to_a_worker_that_holds_none(place: Place) -> None:
    """A handler may block the others for as long as it likes, and what they hold waits with them."""
    worker = WorkerId("busy")
    async with Listener(place.broker.signals(worker, handed=True)) as ear:
        await ear.next()
        await place.put("a")
        [first, second] = (await place.claim("busy", 5, a=5)).deliveries
        assert (await place.claim("busy", 3, a=3)).deliveries == []
        [job_id] = await place.put("a", 1)
        assert await ear.next() == Wake()
        [third] = (await place.claim("busy", 3, a=3)).deliveries
        assert third.lease.job_id == job_id
        await place.settle(first, second, third)
        await place.claim("busy", 5, a=5)
        [job_id] = await place.put("a", 1)
        signal = await ear.next()
        assert isinstance(signal, Handed)
        assert signal.delivery.lease.job_id == job_id


async def test_a_heartbeat_wakes_another_where_jobs_were_left_lying(place: Place) -> None:
    """Who was woken may hear nothing, because a handler blocks it; its supervisor goes on beating."""
    woken, other = await place.two_idle_one_woken()
    await place.broker.heartbeat([WorkerId(woken)], LEASE_MS)
    assert await place.next_of(other) == Wake()
    await place.settle(*(await place.claim(other, 5, a=5)).deliveries)
    await place.claim(other, 5, a=5)
    await place.broker.heartbeat([WorkerId(woken)], LEASE_MS)
    assert await place.heard(other) == []  # nothing is left


async def test_a_dead_worker_is_not_idle(place: Place) -> None:
    await place.claim("dead", 5, a=5)
    assert await place.idle() == [b"dead"]
    await place.broker.surrender(WorkerId("dead"), started=())
    assert await place.idle() == []


async def test_classes_in_which_nobody_idles_are_forgotten_and_come_back(place: Place) -> None:
    await place.listen("w")
    await place.claim("w", 5, a=5, b=5)
    await place.claim("w", 5, b=5)
    assert len(await place.members("classes")) == 2
    await place.broker.tend()
    [name] = await place.members("classes")
    assert await place.members("qc:a") == set()
    assert await place.members("qc:b") == {name}
    assert await place.members(f"cq:{name.decode()}") == {b"b"}
    await place.claim("w", 5, a=5, b=5)
    await place.put("a")
    assert await place.next_of("w") == Wake()


async def test_the_limit_of_a_queue_holds_for_jobs_that_come_by_message(
    redis_url: str, namespace: str
) -> None:
    app = Headway(namespace, url=redis_url, concurrency=10, queue_concurrency={"a": 1})
    running, most, done = 0, 0, 0
    gate = asyncio.Event()

    @app.task(queue="a", name="one")
    async def one() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        done += 1

    @app.task(queue="b", name="other")
    async def other() -> None: ...

    async with app:
        worker = Worker(app)
        working = asyncio.create_task(worker.run())
        await worker.ready.wait()
        async with asyncio.timeout(DEADLINE):
            for _ in range(5):
                await one.enqueue()
                # Once this one is done, whatever the worker was handed before is under way.
                await (await other.enqueue()).result(timeout=DEADLINE)
            assert running == 1
            gate.set()
            while done < 5:  # noqa: ASYNC110 - counted by handlers
                await asyncio.sleep(0.01)
        worker.stop()
        await working
    assert most == 1


async def test_a_worker_that_drains_lets_another_take_what_comes(redis_url: str, namespace: str) -> None:
    app = Headway(namespace, url=redis_url, concurrency=4)
    gate = asyncio.Event()

    @app.task(name="long")
    async def long() -> None:
        await gate.wait()

    @app.task(name="short")
    async def short() -> None: ...

    async with app:
        leaving = [Worker(app) for _ in range(4)]
        tasks = [asyncio.create_task(worker.run()) for worker in leaving]
        for worker in leaving:
            await worker.ready.wait()
        for _ in range(12):
            await long.enqueue()
        async with asyncio.timeout(DEADLINE):
            while min(worker.holds for worker in leaving) == 0:  # noqa: ASYNC110 - who takes which is open
                await asyncio.sleep(0.01)
        stays = Worker(app)
        tasks.append(asyncio.create_task(stays.run()))
        await stays.ready.wait()
        for worker in leaving:
            worker.stop()
        # Enough of them that one would have been sent to a worker that leaves.
        async with asyncio.timeout(DEADLINE):
            for _ in range(10):
                await (await short.enqueue()).result(timeout=DEADLINE)
        gate.set()
        stays.stop()
        await asyncio.gather(*tasks)
