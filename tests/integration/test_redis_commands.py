"""The command connection: every answer reaches its call, whatever a call holds and whatever the process runs out of."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.brokers.redis.wire import spin
from headway.brokers.redis.wire.commands import Commands
from headway.errors import BrokerRefusedError
from headway.job import JobState
from tests.integration.redis_app import broker, job

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headway.brokers.redis.wire.greeting import Wire
    from tests.servers import TcpProxy

LONE = "wrong \ud800 month"  # a lone surrogate: no encoding has it


async def test_what_cannot_be_written_is_refused_and_all_other_answers_reach_their_calls(
    redis_url: str, namespace: str
) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(3)]
        await carrier.enqueue(jobs)
        wrong: list[Awaitable[object]] = [
            carrier.cancel([jobs[0].id], LONE),
            carrier.pause(LONE),
            carrier.drain(LONE),
            carrier.promote([LONE]),  # type: ignore[list-item]  # no id
            carrier.pause_schedule(LONE, paused=True),
            carrier.enqueue([job(key=LONE)]),
        ]
        # The first is under way, so the others leave together, the wrong ones between the right ones.
        calls: list[Awaitable[object]] = [carrier.get([jobs[0].id])]
        for number, one in enumerate(wrong):
            calls += [one, carrier.get([jobs[number % 3].id])]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for answer in answers[1::2]:
            assert isinstance(answer, BrokerRefusedError)
            assert r"wrong \ud800 month" in str(answer)
        found = [answer[0].id for answer in answers[::2]]  # type: ignore[index]  # lists of records
        assert found == [jobs[0].id, *(jobs[number % 3].id for number in range(len(wrong)))]
        with pytest.raises(BrokerRefusedError):  # alone as well
            await carrier.cancel([jobs[0].id], LONE)
        records = await carrier.get([one.id for one in jobs])
        assert [record and record.state for record in records] == [JobState.READY] * 3


async def test_a_reason_is_kept_with_what_no_encoding_has_escaped(redis_url: str, namespace: str) -> None:
    app = Headway(namespace, url=redis_url)

    @app.task
    async def pay() -> None: ...

    async with app:
        handle = await pay.enqueue()
        assert await handle.cancel(LONE) is JobState.CANCELLED
        assert (await handle.record()).reason == r"wrong \ud800 month"


async def test_a_connection_that_cannot_be_taken_over_is_replaced(
    redis_proxy: TcpProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may end between its greeting and the moment when it is used."""
    serve = Commands._serve
    ended: list[Wire] = []

    async def once_too_late(self: Commands, wire: Wire) -> None:
        if not ended:
            ended.append(wire)
            transport = wire.transport
            transport.abort()
            while transport.get_extra_info("socket").fileno() != -1:  # noqa: ASYNC110 - its end is told to nobody who cares
                await asyncio.sleep(0)
        await serve(self, wire)

    async with broker(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace) as carrier:
        await carrier.enqueue([job()])
        monkeypatch.setattr(Commands, "_serve", once_too_late)
        redis_proxy.reset()
        await carrier.enqueue([job()])
        assert ended


async def test_a_fault_of_ours_ends_no_connection_and_closing_raises_nothing_of_it(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()
    times: list[int] = []

    async def fail(self: Commands, wire: Wire) -> None:
        del self
        times.append(1)
        if len(times) == 3:
            failed.set()
        wire.close()
        msg = "a fault of ours"
        raise LookupError(msg)

    whole = Commands._serve
    monkeypatch.setattr(Commands, "_serve", fail)
    carrier = broker(redis_url, namespace)
    await carrier.open()
    async with asyncio.timeout(10):
        await failed.wait()
    monkeypatch.setattr(Commands, "_serve", whole)
    await carrier.enqueue([job()])
    monkeypatch.setattr(Commands, "_serve", fail)
    await carrier.close()


async def test_the_loop_stays_awake_for_a_lone_answer_and_no_longer(
    redis_proxy: TcpProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where call follows call. All else goes on, and when the answer does not come the loop sleeps."""
    monkeypatch.setattr(spin, "EAGER", 0.05)
    looks: list[int] = []
    monkeypatch.setattr(spin, "yield_cpu", lambda: looks.append(1))
    async with broker(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace) as carrier:
        await carrier.enqueue([job()])
        del looks[:]
        await asyncio.sleep(0.1)
        await carrier.enqueue([job()])
        assert not looks  # it stood alone
        await carrier.enqueue([job()])
        assert looks
        for _ in range(3):
            await asyncio.sleep(0)
        assert not carrier._commands._spin.spinning
        redis_proxy.hang()
        turns = 0
        call = asyncio.ensure_future(carrier.enqueue([job()]))
        begin = time.perf_counter()
        while time.perf_counter() < begin + 0.2:
            await asyncio.sleep(0)
            turns += 1
        looked = len(looks)
        assert 0 < looked < turns  # the loop turned for others all the while
        assert not carrier._commands._spin.spinning
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(looks) == looked
        redis_proxy.flow()
        await call
