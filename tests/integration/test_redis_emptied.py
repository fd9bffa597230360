"""A Redis that comes back empty, between any two calls: it is used at once, and what is accepted afterwards is not lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import Handed, LogLine, Report, Settlement, Wake
from headway.errors import BrokerError
from headway.job import RetryAt, Succeeded
from tests.integration.redis_app import LEASE_MS, WORKER, broker, claim, job, succeed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.brokers.redis.broker import RedisBroker
    from headway.job import Delivery
    from tests.servers import RedisServer

CALLS: dict[str, Callable[[RedisBroker, list[Delivery]], Awaitable[Any]]] = {
    "enqueue": lambda carrier, _: carrier.enqueue([job(), job(due_ms=2**45)]),
    "claim": lambda carrier, _: claim(carrier),
    "settle": lambda carrier, held: carrier.settle([Settlement(held[0].lease, Succeeded(b"r"))]),
    "retry later": lambda carrier, held: carrier.settle([Settlement(held[0].lease, RetryAt(2**45))]),
    "heartbeat": lambda carrier, _: carrier.heartbeat([WORKER], LEASE_MS),
    "report": lambda carrier, held: carrier.report([Report(held[0].lease, LogLine(1, "info", "x"))]),
    "tend": lambda carrier, _: carrier.tend(),
    "surrender": lambda carrier, _: carrier.surrender(WORKER, started=None),
    "cancel": lambda carrier, held: carrier.cancel([held[0].lease.job_id]),
    "retry": lambda carrier, held: carrier.retry([held[0].lease.job_id]),
    "counts": lambda carrier, _: carrier.counts(),
    "nothing": lambda _carrier, _held: asyncio.sleep(0),
}


async def test_every_call_is_good_after_the_server_was_emptied(
    own_redis_server: RedisServer, namespace: str
) -> None:
    server = own_redis_server
    async with broker(server.url, namespace) as carrier:
        for call in CALLS.values():
            await carrier.enqueue([job() for _ in range(3)])
            held = await claim(carrier, 2)
            server.call("FLUSHALL")
            await call(carrier, held)
            one = job()
            await carrier.enqueue([one])
            taken = await claim(carrier, 100)
            assert one.id in {delivery.lease.job_id for delivery in taken}
            assert all(done.applied for done in await succeed(carrier, taken))


async def test_who_idled_when_the_server_was_emptied_hears_of_the_next_job(
    own_redis_server: RedisServer, namespace: str
) -> None:
    server = own_redis_server
    async with broker(server.url, f"{namespace}[*?]") as carrier:
        signals = carrier.signals(WORKER, handed=True)
        assert await anext(signals) == Wake()
        await carrier.enqueue([job()])
        await succeed(carrier, await claim(carrier))
        assert await claim(carrier) == []
        server.call("FLUSHALL")
        one = job()
        await carrier.enqueue([one])
        async with asyncio.timeout(10):
            while True:
                assert isinstance(await anext(signals), Wake | Handed)
                if any(delivery.lease.job_id == one.id for delivery in await claim(carrier)):
                    break


@pytest.mark.parametrize("moment", range(6))
async def test_a_server_emptied_while_calls_are_under_way_loses_nothing_accepted_later(
    own_redis_server: RedisServer, namespace: str, moment: int
) -> None:
    server = own_redis_server
    async with broker(server.url, namespace) as carrier:
        await carrier.enqueue([job()])
        calls = [asyncio.create_task(carrier.enqueue([job() for _ in range(20)])) for _ in range(20)]
        for _ in range(moment):
            await asyncio.sleep(0)
        await asyncio.to_thread(server.call, "FLUSHALL")
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [
            one for one in answers if isinstance(one, Exception) and not isinstance(one, BrokerError)
        ] == []
        after = [job() for _ in range(20)]
        await carrier.enqueue(after)
        taken = {one.lease.job_id for one in await claim(carrier, 1000)}
        assert {one.id for one in after} <= taken
