"""What stays behind of workers that died without a word: nothing that grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import QueueWant
from headway.job import WorkerId
from tests.integration.redis_app import LEASE_MS, broker, claim, job, succeed

if TYPE_CHECKING:
    from headway.brokers.redis.broker import RedisBroker


async def _keys(carrier: RedisBroker) -> set[str]:
    start = carrier._session.prefix
    keys = await carrier._session.command("KEYS", f"{start.replace('{', '[{]')}*")
    return {key.decode().removeprefix(start) for key in keys}


async def test_workers_that_are_gone_leave_no_field_behind(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        for number in range(150):
            worker = WorkerId(f"killed-{number}")
            carrier._claims.begin_hands(worker)  # as one that takes jobs by message
            await carrier.claim([QueueWant("q", 1)], worker=worker, limit=1, lease_ms=LEASE_MS)
        assert await carrier._session.command("HLEN", f"{carrier._session.prefix}hand") == 150
        for _ in range(3):
            await carrier.tend()
        await carrier.enqueue([job()])
        await succeed(carrier, await claim(carrier))
        await carrier.tend()
        # Each with a reason: the job and its record, its place in the order of ends, its count, the kinds.
        assert await _keys(carrier) <= {
            "j",
            "done",
            "done:S",
            "n",
            "kinds",
            "kindof",
            "watched",
            "at",
            "idle",
            "deputy",
        }


async def test_a_worker_that_listens_is_not_forgotten(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        worker = WorkerId("alive")
        signals = carrier.signals(worker, handed=True)
        await anext(signals)
        await carrier.claim([QueueWant("q", 1)], worker=worker, limit=1, lease_ms=LEASE_MS)
        await carrier.tend()
        assert await carrier._session.command("HLEN", f"{carrier._session.prefix}hand") == 1
        assert await carrier._session.command("HLEN", f"{carrier._session.prefix}at") == 1
