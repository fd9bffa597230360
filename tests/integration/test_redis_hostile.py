"""What others may have written into the Redis, or forbidden there, stops no job beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import QueueWant, Settlement
from headway.brokers.redis.wire.call import Call
from headway.errors import BrokerRefusedError
from headway.job import Succeeded
from tests.integration.redis_app import LEASE_MS, WORKER, broker, claim, job, succeed

if TYPE_CHECKING:
    from headway.brokers.base import SettleResult
    from headway.brokers.redis.broker import RedisBroker
    from headway.job import Delivery
    from tests.servers import RedisServer


async def _command(carrier: RedisBroker, name: str, key: str, *parts: Any) -> Any:
    return await carrier._session.command(name, f"{carrier._session.prefix}{key}", *parts)


async def _settle(carrier: RedisBroker, deliveries: list[Delivery], *results: bytes) -> list[SettleResult]:
    return await carrier.settle(
        [Settlement(one.lease, Succeeded(result)) for one, result in zip(deliveries, results, strict=True)]
    )


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b" ",
        b"x" * 19,
        b"x" * 21,
        b"two of ten characters",
        b"a" * 19 + "ä".encode(),
        "ä".encode() * 10,
        b"\xff" * 20,
        b"\xff",
    ],
)
async def test_an_id_of_another_form_stops_nobody(redis_url: str, namespace: str, odd: bytes) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(3)]
        await carrier.enqueue(jobs)
        await _command(carrier, "HSET", "j", odd, await _command(carrier, "HGET", "j", jobs[0].id))
        await _command(carrier, "RPUSH", "r:5:q", odd)
        deliveries = await claim(carrier)
        assert [one.lease.job_id for one in deliveries if one.lease.job_id.encode() != odd] == [
            one.id for one in jobs
        ]
        results = await _settle(carrier, deliveries, *[b"", b"r", b"", b""][: len(deliveries)])
        assert all(one.applied for one in results)
        assert await _command(carrier, "HLEN", "run") == 0
        assert await _command(carrier, "HLEN", "done") == 4


@pytest.mark.parametrize(
    "header",
    [
        b"1|0|0|0|-||||",
        b"1|0|0|0||-||",
        b"1|0|0|0|||-|",
        b"1|%b|0|0||||" % (b"9" * 400),
        b"1|0|0|%b||||" % (b"9" * 40),
    ],
)
async def test_a_header_with_impossible_numbers_stops_nobody(
    redis_url: str, namespace: str, header: bytes
) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(3)]
        await carrier.enqueue(jobs)
        await _command(carrier, "HSET", "m", jobs[1].id, header)
        assert [one.lease.job_id for one in await claim(carrier)] == [jobs[0].id, jobs[2].id]
        assert (await _command(carrier, "HGET", "done", jobs[1].id)).startswith(b"F|")


async def test_damaged_jobs_make_no_claim_shorter(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(12)]
        await carrier.enqueue(jobs)
        for one in jobs[1:8:2]:
            await _command(carrier, "HSET", "j", one.id, b"garbage")
        good = [one.id for one in jobs if one not in jobs[1:8:2]]
        assert [one.lease.job_id for one in await claim(carrier, 7)] == good[:7]
        assert [one.lease.job_id for one in await claim(carrier, 7)] == good[7:]


async def test_a_repeated_claim_leaves_out_what_was_removed_behind_our_back(
    redis_url: str, namespace: str
) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(3)]
        await carrier.enqueue(jobs)
        await claim(carrier)
        await _command(carrier, "HDEL", "j", jobs[1].id)
        carrier._claims._unheard[WORKER] = [carrier._claims._last]
        assert [one.lease.job_id for one in await claim(carrier)] == [jobs[0].id, jobs[2].id]


async def test_a_producer_that_may_publish_nothing_loses_no_job(
    own_redis_server: RedisServer, namespace: str
) -> None:
    server = own_redis_server
    server.call("ACL", "SETUSER", "mute", "on", ">pw", "~*", "resetchannels", "+@all")
    url = f"redis://mute:pw@127.0.0.1:{server.port}/0"
    async with broker(server.url, namespace) as carrier, broker(url, namespace) as mute:
        await mute.enqueue([job()])
        signals = carrier.signals(WORKER, handed=True)
        await anext(signals)
        listening = asyncio.ensure_future(anext(signals))
        await succeed(carrier, await claim(carrier))
        assert await claim(carrier) == []  # idle: it may be handed a job
        one = job()
        with pytest.raises(BrokerRefusedError, match="permission"):
            await mute.enqueue([one])
        await mute.enqueue([one])  # nobody idles any more: no message is needed
        assert [delivery.lease.job_id for delivery in await claim(carrier)] == [one.id]
        listening.cancel()


async def test_a_reply_that_cannot_be_read_reaches_its_caller_alone(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:

        def read(_: Any) -> None:
            msg = "unreadable"
            raise ValueError(msg)

        commands = carrier._commands
        deadline = asyncio.get_running_loop().time() + 10
        unreadable, beside = Call(("PING",), deadline), Call(("PING",), deadline)
        unreadable.read = read
        answers = [commands.submit(unreadable), commands.submit(beside)]
        first, second = await asyncio.gather(*answers, return_exceptions=True)
        assert isinstance(first, ValueError)
        assert second == b"PONG"


async def test_a_queue_that_is_wanted_twice_gives_what_both_may(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        await carrier.enqueue([job() for _ in range(20)])
        for first, second, count in ((9, 1, 10), (3, 10, 10), (2, 2, 4)):
            wants = [QueueWant("q", first), QueueWant("q", second)]
            claimed = await carrier.claim(wants, worker=WORKER, limit=10, lease_ms=LEASE_MS)
            assert len(claimed.deliveries) == min(count, 20)
            await carrier.surrender(WORKER, started=())
