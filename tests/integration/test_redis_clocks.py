"""The clock of a Redis server is set: leases end by the time that has passed for those who ask, as far as they can tell."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import BrokerSettings, QueueWant
from headway.brokers.redis.broker import RedisBroker
from headway.job import JobState, NewJob, WorkerId, new_job_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOUR_MS = 3_600_000
LEASE_MS = 30_000
WORKER = WorkerId("w")


class Place:
    """A job that runs, on a server whose clock seems to jump: the caller remembers another one, its leases are moved."""

    def __init__(self, broker: RedisBroker) -> None:
        self.broker = broker
        self.job = NewJob(id=new_job_id(), task="t", queue="q", payload=b"")

    async def begin(self) -> None:
        await self.broker.enqueue([self.job])
        await self.broker.tend()  # since then it knows the server's clock
        claimed = await self.claim(WORKER)
        assert claimed == [self.job.id]

    async def claim(self, worker: WorkerId) -> list[str]:
        claimed = await self.broker.claim([QueueWant("q", 1)], worker=worker, limit=1, lease_ms=LEASE_MS)
        return [delivery.lease.job_id for delivery in claimed.deliveries]

    async def jump(self, by_ms: int) -> None:
        session = self.broker._session
        session._server_ms -= by_ms
        await session.command("ZINCRBY", f"{session.prefix}leases", -by_ms, WORKER)

    async def left_ms(self) -> float:
        session = self.broker._session
        score = await session.command("ZSCORE", f"{session.prefix}leases", WORKER)
        return float(score) - time.time() * 1000

    async def state(self) -> tuple[JobState, int]:
        [record] = await self.broker.get([self.job.id])
        assert record is not None
        return record.state, record.crashes


@pytest.fixture
async def place(redis_url: str, namespace: str) -> AsyncIterator[Place]:
    async with RedisBroker.from_url(redis_url, BrokerSettings(namespace)) as broker:
        place = Place(broker)
        await place.begin()
        yield place


@pytest.mark.parametrize("first", ["tend", "claim", "heartbeat"])
async def test_a_server_set_ahead_ends_no_lease_of_a_live_worker(place: Place, first: str) -> None:
    await place.jump(HOUR_MS)
    if first == "tend":
        assert (await place.broker.tend()).reclaimed == 0
    elif first == "claim":
        assert await place.claim(WorkerId("other")) == []
    [beat] = await place.broker.heartbeat([WORKER], LEASE_MS)
    assert beat.held
    assert (await place.broker.tend()).reclaimed == 0
    assert await place.state() == (JobState.RUNNING, 0)


async def test_a_server_set_back_keeps_no_dead_workers_jobs(place: Place) -> None:
    await place.jump(-HOUR_MS)
    assert await place.left_ms() > HOUR_MS
    assert (await place.broker.tend()).reclaimed == 0
    assert await place.left_ms() <= 60_000
    assert (await place.broker.tend()).reclaimed == 0  # noticed once
    assert await place.left_ms() > 20_000


async def test_a_lease_that_ran_out_in_its_time_is_over(place: Place) -> None:
    session = place.broker._session
    await session.command("ZINCRBY", f"{session.prefix}leases", -LEASE_MS - 1, WORKER)
    assert (await place.broker.tend()).reclaimed == 1
    assert await place.state() == (JobState.READY, 1)


async def test_the_mercy_after_a_jump_ends(place: Place) -> None:
    """A dead worker's lease is spared once: afterwards the caller knows the new clock."""
    await place.jump(HOUR_MS)
    assert (await place.broker.tend()).reclaimed == 0
    assert 0 < await place.left_ms() <= 60_000
    session = place.broker._session
    await session.command("ZINCRBY", f"{session.prefix}leases", -60_000, WORKER)
    async with asyncio.timeout(10):
        while (await place.broker.tend()).reclaimed == 0:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    assert await place.state() == (JobState.READY, 1)
