"""The Redis link when connections break, hang or lie: no job is lost, none is handed out twice."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, TypeVar

import pytest

from headway.brokers.base import CancelRequested, JobQuery, Wake
from headway.brokers.redis.wire import commands as link_module
from headway.errors import BrokerRefusedError, BrokerUnavailableError
from headway.job import JobState, WorkerId
from tests.integration.redis_app import WORKER, broker, claim, job, succeed
from tests.servers import Direction, RedisServer, TcpProxy

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headway.brokers.redis.broker import RedisBroker

T = TypeVar("T")


def _url(proxy: TcpProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


results = pytest.mark.parametrize("result", [b"r", b""], ids=["result", "plain"])


async def test_a_lost_enqueue_answer_adds_no_job_twice(redis_proxy: TcpProxy, namespace: str) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        await carrier.enqueue([job()])
        jobs = [job() for _ in range(20)]
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        answers = await carrier.enqueue(jobs)
        await redis_proxy.wait_reset()
        assert [answer.duplicate_of for answer in answers] == [None] * 20
        assert len(await claim(carrier, 100)) == 21


async def test_a_request_cut_before_the_server_is_repeated(redis_proxy: TcpProxy, namespace: str) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        redis_proxy.reset_after(0, Direction.TO_SERVER)
        await carrier.enqueue([job()])
        await redis_proxy.wait_reset()
        assert len(await claim(carrier)) == 1


async def test_a_lost_claim_answer_hands_out_the_same_jobs(redis_proxy: TcpProxy, namespace: str) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        jobs = [job() for _ in range(5)]
        await carrier.enqueue(jobs)
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        deliveries = await claim(carrier, 3)
        await redis_proxy.wait_reset()
        assert [one.lease.job_id for one in deliveries] == [one.id for one in jobs[:3]]
        assert [one.lease.epoch for one in deliveries] == [1, 1, 1]
        assert (await carrier.counts())[0].counts == {JobState.READY: 2, JobState.RUNNING: 3}


async def test_a_claim_whose_caller_went_away_is_handed_out_again(
    redis_proxy: TcpProxy, namespace: str
) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        jobs = [job() for _ in range(5)]
        await carrier.enqueue(jobs)
        redis_proxy.hang()
        task = asyncio.create_task(claim(carrier, 2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        redis_proxy.flow()
        again = await claim(carrier, 2)
        rest = await claim(carrier, 10)
        assert {one.lease.job_id for one in again + rest} == {one.id for one in jobs}
        assert len(again) == 2


@results
async def test_a_lost_settle_answer_is_applied(redis_proxy: TcpProxy, namespace: str, result: bytes) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        await carrier.enqueue([job() for _ in range(3)])
        deliveries = await claim(carrier)
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        assert all(one.applied for one in await succeed(carrier, deliveries, result))
        assert not any(
            one.applied for one in await succeed(carrier, deliveries, result)
        )  # by hand: superseded


@results
async def test_a_settle_that_is_repeated_after_its_deadline_is_applied(
    redis_proxy: TcpProxy, namespace: str, monkeypatch: pytest.MonkeyPatch, result: bytes
) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        await carrier.enqueue([job() for _ in range(3)])
        *some, last = await claim(carrier)
        monkeypatch.setattr("headway.brokers.redis.session.CALL_DEADLINE", 0.5)
        await redis_proxy.refuse()
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        with pytest.raises(BrokerUnavailableError):
            await succeed(carrier, some, result)
        monkeypatch.undo()
        await redis_proxy.listen()
        assert [one.applied for one in await succeed(carrier, [*some, last], result)] == [True] * 3
        assert not any(one.applied for one in await succeed(carrier, some, result))  # by hand: superseded


async def test_many_calls_in_flight_survive_a_reset(redis_proxy: TcpProxy, namespace: str) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        jobs = [job() for _ in range(200)]
        calls = [asyncio.create_task(carrier.enqueue([one])) for one in jobs]
        redis_proxy.reset_after(2000, Direction.TO_SERVER)
        await asyncio.gather(*calls)
        assert {one.lease.job_id for one in await claim(carrier, 1000)} == {one.id for one in jobs}


async def test_a_hung_connection_is_replaced(
    redis_proxy: TcpProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ANSWER_TIMEOUT", 0.3)
    async with broker(_url(redis_proxy), namespace) as carrier:
        await carrier.enqueue([job()])
        accepted = redis_proxy.accepted
        redis_proxy.hang()
        call = asyncio.create_task(carrier.enqueue([job()]))
        async with asyncio.timeout(10):
            while redis_proxy.accepted == accepted:  # noqa: ASYNC110 - the proxy has no event for it
                await asyncio.sleep(0.01)
        redis_proxy.flow()
        await call
        assert len(await claim(carrier)) == 2


async def test_an_unreachable_server_is_said_in_time(
    redis_proxy: TcpProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.brokers.redis.session.CALL_DEADLINE", 0.5)
    async with broker(_url(redis_proxy), namespace) as carrier:
        await redis_proxy.refuse()
        redis_proxy.reset()
        with pytest.raises(BrokerUnavailableError, match="cannot be reached"):
            await carrier.enqueue([job()])
        await redis_proxy.listen()
        monkeypatch.undo()
        await carrier.enqueue([job()])


async def test_opening_says_where_it_could_not_connect(
    redis_proxy: TcpProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_OPEN_DEADLINE", 0.1)
    await redis_proxy.refuse()
    url = f"redis://me:hunter2@127.0.0.1:{redis_proxy.port}/0"
    with pytest.raises(BrokerUnavailableError) as caught:
        await broker(url, namespace).open()
    assert str(redis_proxy.port) in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_the_subscription_comes_back_with_a_wake(redis_proxy: TcpProxy, namespace: str) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier:
        await carrier.enqueue([job()])  # before: with the first job of all, whoever listens is woken
        signals = carrier.signals(WORKER)
        assert await _soon(anext(signals)) == Wake()
        redis_proxy.reset()
        assert await _soon(anext(signals)) == Wake()
        (delivery,) = await claim(carrier)
        await carrier.cancel([delivery.lease.job_id])
        assert await _soon(anext(signals)) == CancelRequested(delivery.lease.job_id)
        await signals.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_a_result_that_came_during_a_cut_is_seen(
    redis_proxy: TcpProxy, redis_url: str, namespace: str
) -> None:
    async with broker(_url(redis_proxy), namespace) as carrier, broker(redis_url, namespace) as other:
        one = job()
        await carrier.enqueue([one])
        waiting = asyncio.create_task(carrier.wait_finished(one.id, None))
        await _until_registered(other, one.id)
        await redis_proxy.refuse()
        redis_proxy.reset()
        await succeed(other, await claim(other))
        await redis_proxy.listen()
        record = await _soon(waiting)
        assert record is not None
        assert record.state is JobState.SUCCEEDED


async def test_ten_thousand_waits_share_their_calls(own_redis_server: RedisServer, namespace: str) -> None:
    async with broker(own_redis_server.url, namespace) as carrier:
        jobs = [job() for _ in range(10_000)]
        await carrier.enqueue(jobs)
        waits = [asyncio.create_task(carrier.wait_finished(one.id, None)) for one in jobs]
        await _until_registered(carrier, jobs[-1].id)
        before = await _scripts(carrier)
        worker = WorkerId("w")
        while deliveries := await claim(carrier, 1000, worker):
            await succeed(carrier, deliveries)
        records = await _soon(asyncio.gather(*waits))
        assert all(one is not None and one.state is JobState.SUCCEEDED for one in records)
        assert await _scripts(carrier) - before < 100  # 21 of claim and settle; the rest fetches records


async def test_scripts_are_learnt_again_after_a_flush(own_redis_server: RedisServer, namespace: str) -> None:
    async with broker(own_redis_server.url, namespace) as carrier:
        await carrier.enqueue([job()])
        own_redis_server.call("SCRIPT", "FLUSH")
        await carrier.enqueue([job()])
        assert len(await claim(carrier)) == 2


async def test_an_emptied_server_is_used_anew(own_redis_server: RedisServer, namespace: str) -> None:
    """The numbers of kinds change then: a stale one must not turn a job into another task's."""
    async with (
        broker(own_redis_server.url, namespace) as carrier,
        broker(own_redis_server.url, namespace) as other,
    ):
        await carrier.enqueue([job("a"), job("q")])
        await claim(other)
        own_redis_server.call("FLUSHALL")
        await carrier.enqueue([job("q")])
        assert [one.queue for one in await claim(other)] == ["q"]


async def test_a_restart_keeps_what_was_accepted(own_redis_server: RedisServer, namespace: str) -> None:
    async with broker(own_redis_server.url, namespace) as carrier:
        jobs = [job() for _ in range(100)]
        await carrier.enqueue(jobs)
        own_redis_server.restart()
        assert len(await claim(carrier, 100)) == 100


async def test_a_full_server_refuses_and_can_be_worked_off(namespace: str) -> None:
    options = {"maxmemory": "8mb", "maxmemory-policy": "noeviction"}
    with RedisServer(options=options) as server:
        async with broker(server.url, namespace) as carrier:
            accepted = await _fill(carrier)
            for special in ({"key": "k"}, {"due_ms": 2**43}, {"expires_ms": 2**43}):
                batch = [job(payload=b"x" * 1000, **special), *(job(payload=b"x" * 1000) for _ in range(99))]
                with pytest.raises(BrokerRefusedError):
                    await carrier.enqueue(batch)
                assert await carrier.get([one.id for one in batch]) == [None] * 100
            counts = (await carrier.counts())[0].counts
            assert counts == {JobState.READY: accepted}
            deliveries = await claim(carrier, 50)
            assert len(deliveries) == 50
            assert [beat.held for beat in await carrier.heartbeat([WORKER], 60_000)] == [True]
            await carrier.cancel([deliveries[0].lease.job_id])
            waiting = (await carrier.list(JobQuery(states=(JobState.READY,)), limit=1)).jobs[0]
            assert (await carrier.cancel([waiting.id]))[0].state is JobState.CANCELLED
            assert all(result.applied for result in await succeed(carrier, deliveries))


async def test_a_wrong_password_is_refused_without_showing_it(namespace: str) -> None:
    with RedisServer(password="right") as server:
        url = f"redis://:not-this@127.0.0.1:{server.port}/0"
        with pytest.raises(BrokerRefusedError, match="password") as caught:
            await broker(url, namespace).open()
        assert "not-this" not in str(caught.value)
        with pytest.raises(BrokerRefusedError, match="wants a password"):
            await broker(f"redis://127.0.0.1:{server.port}/0", namespace).open()
        async with broker(server.url, namespace) as carrier:
            await carrier.enqueue([job()])


async def _soon(what: Awaitable[T]) -> T:
    async with asyncio.timeout(15):
        return await what


async def _until_registered(carrier: RedisBroker, job_id: str) -> None:
    async with asyncio.timeout(15):
        while not await carrier._session.command("HEXISTS", f"{carrier._session.prefix}waiters", job_id):  # noqa: ASYNC110 - a state of the server
            await asyncio.sleep(0.005)


async def _scripts(carrier: RedisBroker) -> int:
    """How many scripts the server has run."""
    text = (await carrier._session.command("INFO", "commandstats")).decode()
    return sum(int(calls) for calls in re.findall(r"cmdstat_eval(?:sha)?:calls=(\d+)", text))


async def _fill(carrier: RedisBroker) -> int:
    """Enqueue batches until the server is full; return how many jobs it took."""
    for batch in range(1000):
        try:
            await carrier.enqueue([job(payload=b"x" * 1000) for _ in range(100)])
        except BrokerRefusedError:
            return batch * 100
    pytest.fail("the server never was full")
