"""Lone jobs reach an idle worker in a message: each is run once, whatever becomes of the message."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway import Headway
from headway.brokers.base import BrokerSettings, Handed, QueueWant, Settlement, Wake
from headway.brokers.redis.broker import RedisBroker
from headway.brokers.redis.handover import Hands
from headway.errors import BrokerUnavailableError
from headway.job import Delivery, JobId, JobState, NewJob, Succeeded, WorkerId, new_job_id
from headway.runtime.worker import Worker
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.app.task import AsyncTask
    from headway.brokers.base import Signal

WORKER = WorkerId("w")
LEASE_MS = 30_000


@dataclass
class Wire:
    """What was published to the worker and did not arrive yet; and whether the answer of the next claim is lost."""

    messages: deque[bytes] = field(default_factory=deque[bytes])
    held: bool = False
    lose_answer: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Place:
    """A worker that listens, on a broker whose messages can be held back."""

    broker: RedisBroker
    clock: FakeClock
    wire: Wire
    signals: asyncio.Queue[Signal] = field(default_factory=asyncio.Queue)

    async def claim(self, limit: int = 5, queue: str = "q") -> list[Delivery]:
        claimed = await self.broker.claim(
            [QueueWant(queue, limit)], worker=WORKER, limit=limit, lease_ms=LEASE_MS
        )
        return claimed.deliveries

    async def put(self, queue: str = "q", count: int = 1) -> list[JobId]:
        jobs = [NewJob(new_job_id(), "t", queue, b"payload") for _ in range(count)]
        await self.broker.enqueue(jobs)
        return [job.id for job in jobs]

    async def settle(self, delivery: Delivery) -> bool:
        [result] = await self.broker.settle([Settlement(delivery.lease, Succeeded())])
        return result.applied

    async def next_signal(self) -> Signal:
        async with asyncio.timeout(10):
            return await self.signals.get()

    async def handed(self) -> Delivery:
        while True:
            signal = await self.next_signal()
            if isinstance(signal, Handed):
                return signal.delivery

    async def published(self) -> None:
        """Wait until a message that is held back has come in."""
        async with asyncio.timeout(10):
            while not self.wire.messages:
                self.wire.arrived.clear()
                await self.wire.arrived.wait()

    async def state(self, job_id: JobId) -> JobState:
        [record] = await self.broker.get([job_id])
        assert record is not None
        return record.state


@asynccontextmanager
async def listening(url: str, namespace: str, *, handed: bool = True) -> AsyncIterator[Place]:
    clock = FakeClock()
    broker = RedisBroker.from_url(url, BrokerSettings(namespace), clock=clock)
    async with broker:
        place = Place(broker, clock, Wire())
        run = broker._session.run

        async def lossy(name: str, *parts: Any, repeat: bool = False) -> Any:
            answer = await run(name, *parts, repeat=repeat)
            if name == "claim" and place.wire.lose_answer:
                place.wire.lose_answer = False
                msg = "the answer is lost"
                raise BrokerUnavailableError(msg)
            return answer

        broker._session.run = lossy  # type: ignore[method-assign]

        async def listen() -> None:
            async for signal in broker.signals(WORKER, handed=handed):
                place.signals.put_nowait(signal)

        task = asyncio.create_task(listen())
        assert isinstance(await place.next_signal(), Wake)
        [box] = broker._mailboxes
        deliver = box.on_message

        def hold(content: bytes) -> None:
            if place.wire.held and content[:1] == b"J":
                place.wire.messages.append(content)
                place.wire.arrived.set()
            else:
                deliver(content)

        for subscriptions in broker._listener._channels.values():
            for subscription in subscriptions:
                subscription.on_message = hold
        try:
            yield place
        finally:
            task.cancel()


@pytest.fixture
async def place(redis_url: str, namespace: str) -> AsyncIterator[Place]:
    async with listening(redis_url, namespace) as made:
        yield made


async def test_a_lone_job_comes_to_an_idle_worker_in_a_message(place: Place) -> None:
    assert await place.claim() == []
    [job_id] = await place.put()
    delivery = await place.handed()
    assert (delivery.lease.job_id, delivery.lease.epoch, delivery.attempt) == (job_id, 1, 1)
    assert (delivery.task, delivery.queue, delivery.payload) == ("t", "q", b"payload")
    assert await place.state(job_id) is JobState.RUNNING
    assert await place.claim() == []
    assert await place.settle(delivery)
    assert await place.state(job_id) is JobState.SUCCEEDED
    assert [worker.holds for worker in await place.broker.workers()] == [0]


async def test_one_that_did_not_ask_for_it_is_woken_instead(redis_url: str, namespace: str) -> None:
    async with listening(redis_url, namespace, handed=False) as place:
        assert await place.claim() == []
        [job_id] = await place.put()
        assert isinstance(await place.next_signal(), Wake)
        assert [delivery.lease.job_id for delivery in await place.claim()] == [job_id]


async def test_only_one_job_is_handed_over_for_each_claim(place: Place) -> None:
    await place.claim()
    first, second = await place.put() + await place.put()
    handed = await place.handed()
    assert handed.lease.job_id == first
    assert await place.state(second) is JobState.READY
    [taken] = await place.claim()
    assert taken.lease.job_id == second
    assert await place.settle(handed)
    assert await place.settle(taken)
    [third] = await place.put()
    assert (await place.handed()).lease.job_id == third


async def test_jobs_of_a_paused_queue_or_behind_others_wait(place: Place) -> None:
    await place.claim()
    await place.broker.pause("q")
    [job_id] = await place.put()
    assert await place.state(job_id) is JobState.READY
    await place.broker.resume("q")
    [later] = await place.put()
    assert await place.state(later) is JobState.READY
    assert [delivery.lease.job_id for delivery in await place.claim()] == [job_id, later]


async def test_a_queue_that_is_not_wanted_any_more_is_not_handed_over(place: Place) -> None:
    await place.claim(queue="q")
    await place.claim(queue="other")
    [job_id] = await place.put("q")
    assert await place.state(job_id) is JobState.READY


async def test_what_no_message_brought_the_next_claim_does_and_the_late_message_is_void(place: Place) -> None:
    await place.claim()
    place.wire.held = True
    [job_id] = await place.put()
    await place.published()
    [delivery] = await place.claim()
    assert (delivery.lease.job_id, delivery.lease.epoch) == (job_id, 1)
    [box] = place.broker._mailboxes
    box.on_message(place.wire.messages.popleft())
    assert await place.claim() == []
    assert place.signals.empty()
    assert await place.settle(delivery)


async def test_it_is_found_also_when_the_answer_of_that_claim_is_lost(place: Place) -> None:
    await place.claim()
    place.wire.held = True
    [job_id] = await place.put()
    place.wire.lose_answer = True
    with pytest.raises(BrokerUnavailableError):
        await place.claim()
    assert [delivery.lease.job_id for delivery in await place.claim()] == [job_id]
    assert await place.claim() == []


async def test_a_worker_that_died_with_a_handed_job_loses_it_when_the_lease_ends(place: Place) -> None:
    await place.claim()
    [job_id] = await place.put()
    await place.handed()
    place.clock.advance(LEASE_MS + 1)
    await place.broker.tend()
    assert await place.state(job_id) is JobState.READY


async def test_surrender_takes_back_what_was_handed_over_unseen(place: Place) -> None:
    await place.claim()
    place.wire.held = True
    [job_id] = await place.put()
    assert await place.broker.surrender(WORKER, started=()) == 1
    [record] = await place.broker.get([job_id])
    assert record is not None
    assert (record.state, record.crashes) == (JobState.READY, 0)


async def test_nobody_is_handed_a_job_who_no_longer_listens(redis_url: str, namespace: str) -> None:
    async with listening(redis_url, namespace) as gone:
        await gone.claim()
    async with RedisBroker.from_url(redis_url, BrokerSettings(namespace), clock=gone.clock) as broker:
        job_id = new_job_id()
        await broker.enqueue([NewJob(job_id, "t", "q", b"payload")])
        [record] = await broker.get([job_id])
        assert record is not None
        assert record.state is JobState.READY


def a_message(number: int) -> bytes:
    return b"J%d|%b|5|51:qt7:payload" % (number, new_job_id().encode())


async def test_a_job_that_is_handed_out_unheard_counts_for_the_limit_of_its_queue(
    redis_url: str, namespace: str
) -> None:
    async with listening(redis_url, namespace) as place:
        wants = [QueueWant("q", 1), QueueWant("x", 5)]

        async def claim() -> list[Delivery]:
            claimed = await place.broker.claim(wants, worker=WORKER, limit=5, lease_ms=LEASE_MS)
            return claimed.deliveries

        assert await claim() == []
        place.wire.held = True
        [first] = await place.put()
        await place.published()
        await place.put(count=2)
        beside = await place.put("x", count=2)
        assert [one.lease.job_id for one in await claim()] == [first, *beside]


def test_a_message_that_overtakes_the_answer_waits_for_it() -> None:
    hands = Hands(WORKER)
    hands.claim_sent(10)
    assert hands.on_message(a_message(10)) is None
    [delivery] = hands.claim_answered(10)
    assert (delivery.queue, delivery.task, delivery.payload, hands.taken) == ("q", "t", b"payload", 10)


@pytest.mark.parametrize("content", [b"J", b"Jx|y|1|z", b"J1|0|99|", b"J10|0|3|abc", b"J10||5|51:qt7:p"])
def test_damaged_messages_are_refused(content: bytes) -> None:
    hands = Hands(WORKER)
    hands.claim_sent(10)
    hands.claim_answered(10)
    with pytest.raises(ValueError, match="message"):
        hands.on_message(content)


STEPS = st.lists(
    st.sampled_from(["put", "put", "put_two", "claim", "claim", "lost_claim", "arrive", "drop", "settle"]),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_each_job_is_taken_once_whatever_becomes_of_messages_and_answers(  # noqa: C901, PLR0912 - one step, one case
    redis_url: str, steps: list[str]
) -> None:
    async with listening(redis_url, f"t{uuid4().hex[:12]}") as place:
        place.wire.held = True
        [box] = place.broker._mailboxes
        put: list[JobId] = []
        taken: list[Delivery] = []
        open_: list[Delivery] = []

        def take(deliveries: list[Delivery]) -> None:
            taken.extend(deliveries)
            open_.extend(deliveries)

        for step in [*steps, "claim", "claim"]:
            match step:
                case "put":
                    put += await place.put()
                case "put_two":
                    put += await place.put(count=2)
                case "claim":
                    take(await place.claim(3))
                case "lost_claim":
                    place.wire.lose_answer = True
                    with pytest.raises(BrokerUnavailableError):
                        await place.claim(3)
                case "arrive" if place.wire.messages:
                    box.on_message(place.wire.messages.popleft())
                case "drop" if place.wire.messages:
                    place.wire.messages.popleft()
                case "settle" if open_:
                    assert await place.settle(open_.pop(0))
                case _:
                    pass
            while not place.signals.empty():
                if isinstance(signal := place.signals.get_nowait(), Handed):
                    take([signal.delivery])
        while len(taken) < len(put) and (more := await place.claim(50)):
            take(more)
        assert sorted(delivery.lease.job_id for delivery in taken) == sorted(put)
        for delivery in open_:
            assert await place.settle(delivery)
        assert {await place.state(job_id) for job_id in put} <= {JobState.SUCCEEDED}


async def test_a_claim_whose_answer_was_overtaken_is_followed_by_another(place: Place) -> None:
    """The server took the worker for idle, and does no more: without a next claim nobody would wake it."""
    run = place.broker._session.run

    async def slow(name: str, *parts: Any, repeat: bool = False) -> Any:
        answer = await run(name, *parts, repeat=repeat)
        if name == "claim":
            await place.put()
            while place.broker._claims._hands[WORKER]._early is None:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)
        return answer

    place.broker._session.run = slow  # type: ignore[method-assign]
    claimed = await place.broker.claim([QueueWant("q", 5)], worker=WORKER, limit=5, lease_ms=LEASE_MS)
    assert len(claimed.deliveries) == 1
    assert claimed.next_in_ms == 0


@pytest.mark.parametrize("gap", [0.0, 0.0005, 0.002])
async def test_no_lone_job_is_left_lying_beside_an_idle_worker(
    redis_url: str, namespace: str, gap: float
) -> None:
    """Jobs come one by one while the worker goes idle and busy all the time."""
    done: set[int] = set()
    changed = asyncio.Event()

    def build() -> tuple[Headway, AsyncTask[[int], None]]:
        app = Headway(namespace, url=redis_url)

        @app.task(name="note")
        async def note(number: int) -> None:
            done.add(number)
            changed.set()

        return app, note

    consumer, _ = build()
    producer, note = build()
    chance = random.Random(gap)
    async with consumer, producer:
        worker = Worker(consumer, concurrency=5, schedules=False)
        running = asyncio.create_task(worker.run())
        await worker.ready.wait()
        for number in range(400):
            await note.enqueue(number)
            if gap:
                await asyncio.sleep(chance.uniform(0, 2 * gap))
        async with asyncio.timeout(10):
            while len(done) < 400:
                changed.clear()
                await changed.wait()
        worker.stop()
        await running
