"""A file that is kept from others for longer than a lease: frozen processes, handlers that hold the GIL."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import BrokerSettings, QueueWant
from headway.brokers.sqlite.broker import SqliteBroker
from headway.brokers.sqlite.file.stall import Asked, Stall
from headway.brokers.sqlite.file.ticks import machine_ms
from headway.job import NewJob, WorkerId, new_job_id
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from headway.brokers.sqlite.file.transaction import Transaction

LEASE_MS = 1000
WORKER = WorkerId("lives")
NOTED = 0.3  # seconds; a stall is noted after a quarter


class Scene:
    """One file, the broker of a worker, that of whoever looks for dead ones, and one more."""

    def __init__(self, file: Path, clock: FakeClock, brokers: list[SqliteBroker]) -> None:
        self.file = file
        self.clock = clock
        self.worker, self.sweeper, self.third = brokers

    async def claim_one(self) -> None:
        await self.worker.enqueue([NewJob(new_job_id(), "shop.pay", "q", b"x")])
        claimed = await self.worker.claim([QueueWant("q", 1)], worker=WORKER, limit=1, lease_ms=LEASE_MS)
        assert len(claimed.deliveries) == 1

    async def beat(self) -> bool:
        [answer] = await self.worker.heartbeat([WORKER], LEASE_MS)
        return answer.held

    async def reclaimed(self) -> int:
        return (await self.sweeper.tend()).reclaimed


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    file, clock = tmp_path / "headway.db", FakeClock()
    async with AsyncExitStack() as stack:
        brokers = [SqliteBroker(f"sqlite:///{file}", BrokerSettings("app"), clock=clock) for _ in range(3)]
        for broker in brokers:
            await broker.open()
            stack.push_async_callback(broker.close)
        yield Scene(file, clock, brokers)


@contextmanager
def kept_by_a_stranger(file: Path) -> Iterator[None]:
    """Keep the file as a process that is killed keeps it: it notes nothing."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.close()


def keeping(entered: asyncio.Event, leave: threading.Event) -> Callable[[Transaction], None]:
    """Return an operation that keeps its transaction open."""
    loop = asyncio.get_running_loop()

    def keep(_: Transaction) -> None:
        loop.call_soon_threadsafe(entered.set)
        assert leave.wait(20)

    return keep


async def test_who_waited_for_the_file_takes_no_lease_that_ran_out_meanwhile(scene: Scene) -> None:
    await scene.claim_one()
    with kept_by_a_stranger(scene.file):
        both = [asyncio.create_task(scene.beat()), asyncio.create_task(scene.reclaimed())]
        await asyncio.sleep(NOTED)
        scene.clock.advance(2 * LEASE_MS)
    assert await asyncio.gather(*both) == [True, 0]
    assert await scene.reclaimed() == 0


async def test_who_comes_when_the_lease_has_run_out_lets_the_heartbeats_go_first(scene: Scene) -> None:
    await scene.claim_one()
    entered, leave = asyncio.Event(), threading.Event()
    keeper = asyncio.ensure_future(scene.third._write(keeping(entered, leave)))
    await entered.wait()
    beat = asyncio.create_task(scene.beat())
    await asyncio.sleep(NOTED)
    scene.clock.advance(2 * LEASE_MS)
    sweep = asyncio.create_task(scene.reclaimed())
    await asyncio.sleep(0)
    leave.set()
    await keeper
    assert (await beat, await sweep) == (True, 0)
    assert await scene.reclaimed() == 0


async def test_a_heartbeat_that_was_refused_the_file_counts_when_it_is_repeated(scene: Scene) -> None:
    """The stall outlasted the patience of one call."""
    await scene.claim_one()
    with kept_by_a_stranger(scene.file):
        failing = asyncio.create_task(scene.beat())
        await asyncio.sleep(0)
        failing.cancel()
        await asyncio.sleep(NOTED)
        scene.clock.advance(2 * LEASE_MS)
    assert await scene.beat()
    assert await scene.reclaimed() == 0


async def test_a_lease_that_nobody_renews_is_spared_for_a_moment_only(scene: Scene) -> None:
    await scene.claim_one()
    with kept_by_a_stranger(scene.file):
        sweep = asyncio.create_task(scene.sweeper.tend())
        await asyncio.sleep(NOTED)
        scene.clock.advance(2 * LEASE_MS)
    tended = await sweep
    assert tended.reclaimed == 0
    assert tended.next_in_ms is not None
    assert 0 < tended.next_in_ms <= 1000
    deadline = time.monotonic() + 20
    while not await scene.reclaimed():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_lease_that_had_run_out_before_is_not_spared(scene: Scene) -> None:
    await scene.claim_one()
    scene.clock.advance(2 * LEASE_MS)
    with kept_by_a_stranger(scene.file):
        sweep = asyncio.create_task(scene.reclaimed())
        await asyncio.sleep(NOTED)
    assert await sweep == 1


def test_stalls_without_end_spare_nobody_for_ever() -> None:
    now = machine_ms()
    first = Stall(0, 0, 0).extended(Asked(1000, 0.0), 1400)
    assert now < first.spared_until_ms <= now + 1500
    second = first.extended(Asked(900, 0.0), 1900)
    assert second == Stall(900, 2150, first.spared_until_ms)
    over = second._replace(spared_until_ms=now - 1)
    assert not over.spares(1500)
    third = over.extended(Asked(1800, 0.0), 2200)
    assert third.spares(1800)
    assert not third.spares(1799)
