"""Cancel requests reach the worker of the job: after a cut, and when they overtake the job on its way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway
from headway.brokers.base import CancelRequested, DrainRequested, Settlement, Wake
from headway.brokers.redis.cancel_requests import Requests
from headway.brokers.redis.session import Kind
from headway.errors import BrokerUnavailableError
from headway.job import Cancelled, JobState, WorkerId
from headway.runtime.worker import Worker
from tests.integration.redis_app import WORKER, broker, claim, job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headway.brokers.base import Signal
    from headway.brokers.redis.broker import RedisBroker
    from headway.job import Delivery, JobId
    from tests.servers import TcpProxy

OTHER = WorkerId("host-2-worker-1")


@dataclass
class Scene:
    """A worker's carrier, whose claims' answers can be held back or lost, and a carrier beside it."""

    carrier: RedisBroker
    beside: RedisBroker
    signals: AsyncIterator[Signal]
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    lose_answer: bool = False

    async def next_signal(self) -> Signal:
        async with asyncio.timeout(15):
            return await anext(self.signals)

    async def next_request(self) -> JobId:
        """Return the next job that is to be cancelled, whatever wakes come before."""
        while not isinstance(signal := await self.next_signal(), CancelRequested):
            pass
        return signal.job_id

    async def ask(self, job_id: JobId) -> None:
        """Ask for the job's end, and hear of it in vain: the worker does not know the job yet."""
        [answer] = await self.beside.cancel([job_id])
        assert answer.state is JobState.RUNNING
        assert await self.next_request() == job_id

    async def quiet(self) -> None:
        """Wait until no request is looked for, and see that none was found."""
        [box] = self.carrier._mailboxes
        await _until(lambda: box.requests._looking is None)
        assert not any(isinstance(one, CancelRequested) for one in box._signals)

    async def claim_unheard(self) -> asyncio.Task[list[Delivery]]:
        """Let a claim be answered, and hold the answer back."""
        self.flowing.clear()
        self.answered.clear()
        claiming = asyncio.create_task(claim(self.carrier))
        async with asyncio.timeout(15):
            await self.answered.wait()
        return claiming


@asynccontextmanager
async def _scene(url: str, namespace: str, *, handed: bool = False) -> AsyncIterator[Scene]:
    async with broker(url, namespace) as carrier, broker(url, namespace) as beside:
        await beside._session.numbers(
            [Kind(5, "any", "t")]
        )  # of a new data set, all who listen are woken once
        scene = Scene(carrier, beside, carrier.signals(WORKER, handed=handed))
        run = carrier._session.run

        async def held_back(name: str, *parts: Any, repeat: bool = False) -> Any:
            answer = await run(name, *parts, repeat=repeat)
            if name == "claim":
                scene.answered.set()
                await scene.flowing.wait()
                if scene.lose_answer:
                    scene.lose_answer = False
                    msg = "the answer is lost"
                    raise BrokerUnavailableError(msg)
            return answer

        carrier._session.run = held_back  # type: ignore[method-assign]
        scene.flowing.set()
        assert await scene.next_signal() == Wake()
        try:
            yield scene
        finally:
            await scene.signals.aclose()  # type: ignore[attr-defined]  # an async generator


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - a state of several tasks
            await asyncio.sleep(0.005)


@asynccontextmanager
async def _cut(proxy: TcpProxy) -> AsyncIterator[None]:
    """Cut all connections; they come back at the end of the block."""
    await proxy.refuse()
    proxy.reset()
    yield
    await proxy.listen()


async def test_a_request_during_a_cut_is_heard_after_it_by_the_worker_of_the_job(
    redis_proxy: TcpProxy, redis_url: str, namespace: str
) -> None:
    async with (
        _scene(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace) as scene,
        broker(redis_url, namespace) as outside,
    ):
        await scene.carrier.enqueue([job() for _ in range(3)])
        mine, kept = await claim(scene.carrier, 2)
        (others,) = await claim(scene.carrier, 1, OTHER)
        async with _cut(redis_proxy):
            await outside.cancel([mine.lease.job_id, others.lease.job_id])
        signals = [await scene.next_signal(), await scene.next_signal()]
        assert signals == [Wake(), CancelRequested(mine.lease.job_id)]
        await scene.quiet()
        assert kept.lease.job_id != mine.lease.job_id


async def test_a_drain_that_was_asked_for_during_a_cut_is_heard_after_it(
    redis_proxy: TcpProxy, redis_url: str, namespace: str
) -> None:
    async with (
        _scene(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace) as scene,
        broker(redis_url, namespace) as outside,
    ):
        await scene.quiet()  # what was asked of an earlier worker of the name has been dropped
        await scene.carrier.enqueue([job()])
        await claim(scene.carrier)
        async with _cut(redis_proxy):
            assert await outside.drain_worker(WORKER)
        assert [await scene.next_signal(), await scene.next_signal()] == [Wake(), DrainRequested()]
        await scene.quiet()


async def test_a_request_from_before_the_subscription_is_heard(redis_url: str, namespace: str) -> None:
    """A worker whose iteration of signals failed begins another, and holds jobs."""
    async with broker(redis_url, namespace) as carrier:
        await carrier.enqueue([job()])
        (delivery,) = await claim(carrier)
        await carrier.cancel([delivery.lease.job_id])
        signals = carrier.signals(WORKER)
        async with asyncio.timeout(15):
            assert await anext(signals) == Wake()
            assert await anext(signals) == CancelRequested(delivery.lease.job_id)
        await signals.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_request_that_overtakes_the_answer_of_the_claim_comes_again(
    redis_url: str, namespace: str
) -> None:
    async with _scene(redis_url, namespace) as scene:
        one = job()
        await scene.carrier.enqueue([one])
        claiming = await scene.claim_unheard()
        await scene.ask(one.id)
        scene.flowing.set()
        (delivery,) = await claiming
        assert delivery.lease.job_id == one.id
        assert await scene.next_request() == one.id


async def test_a_request_for_what_a_lost_claim_took_comes_again_with_the_job(
    redis_url: str, namespace: str
) -> None:
    async with _scene(redis_url, namespace) as scene:
        one = job()
        await scene.carrier.enqueue([one])
        scene.lose_answer = True
        claiming = await scene.claim_unheard()
        await scene.ask(one.id)
        scene.flowing.set()
        with pytest.raises(BrokerUnavailableError):
            await claiming
        (delivery,) = await claim(scene.carrier)
        assert delivery.lease.job_id == one.id
        assert await scene.next_request() == one.id


async def test_a_request_behind_a_job_that_came_by_message_too_early_comes_again(
    redis_url: str, namespace: str
) -> None:
    async with _scene(redis_url, namespace, handed=True) as scene:
        claiming = (
            await scene.claim_unheard()
        )  # of nothing: the worker is idle for the server, not yet for itself
        one = job()
        await scene.beside.enqueue([one])
        await scene.ask(one.id)
        scene.flowing.set()
        (delivery,) = await claiming
        assert delivery.lease.job_id == one.id
        assert await scene.next_request() == one.id


async def test_a_request_that_is_over_is_not_heard_again_in_the_jobs_next_life(
    redis_url: str, namespace: str
) -> None:
    async with _scene(redis_url, namespace) as scene:
        one = job()
        await scene.carrier.enqueue([one])
        (delivery,) = await claim(scene.carrier)
        await scene.ask(one.id)
        [settled] = await scene.carrier.settle([Settlement(delivery.lease, Cancelled("by hand"))])
        assert settled.applied
        assert await scene.beside.retry([one.id]) == [True]
        (again,) = await claim(scene.carrier)
        assert again.lease.job_id == one.id
        await scene.quiet()


async def test_requests_are_looked_for_until_the_server_can_be_asked(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.brokers.redis.cancel_requests._AGAIN", 0.01)
    look = Requests._open
    failures = iter([BrokerUnavailableError("away"), BrokerUnavailableError("away")])

    async def away(self: Requests) -> list[JobId]:
        for failure in failures:
            raise failure
        return await look(self)

    async with _scene(redis_url, namespace) as scene:
        await scene.quiet()
        one = job()
        await scene.carrier.enqueue([one])
        await claim(scene.carrier)
        await scene.ask(one.id)
        monkeypatch.setattr(Requests, "_open", away)
        [box] = scene.carrier._mailboxes
        box.on_restored()
        signals = [await scene.next_signal(), await scene.next_signal()]
        assert signals == [Wake(), CancelRequested(one.id)]
        assert not list(failures)


async def test_a_worker_ends_a_job_whose_end_was_asked_for_during_a_cut(
    redis_proxy: TcpProxy, redis_url: str, namespace: str
) -> None:
    app = Headway(namespace, url=f"redis://127.0.0.1:{redis_proxy.port}/0")
    begun = asyncio.Event()

    @app.task
    async def long() -> None:
        begun.set()
        await asyncio.sleep(300)

    async with app, broker(redis_url, namespace) as outside:
        worker = Worker(app)
        working = asyncio.create_task(worker.run())
        handle = await long.enqueue()
        async with asyncio.timeout(15):
            await begun.wait()
        async with _cut(redis_proxy):
            await outside.cancel([handle.id], "please")
        assert await handle.wait(timeout=20) is JobState.CANCELLED
        worker.stop()
        await working
