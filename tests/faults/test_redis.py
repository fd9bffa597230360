"""A Redis that restarts, freezes, fails over or cuts connections, under load."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from headway.errors import BrokerError
from headway.events import EventKind
from headway.job import JobState
from tests.faults.load import Load
from tests.faults.shop import Shop
from tests.faults.until import until
from tests.servers import Direction, RedisSentinel, RedisServer, TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)


async def _progress(shop: Shop, ends: int) -> None:
    """Wait until so many handlers more have completed."""
    wanted = len(shop.effects(what="end")) + ends
    await until(lambda: len(shop.effects(what="end")) >= wanted, f"{ends} jobs more complete", 30)


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_a_restart_under_load_loses_nothing(
    redis_shop: Shop, own_redis_server: RedisServer, end: str
) -> None:
    """With appendfsync always Redis itself keeps what it has acknowledged, also through SIGKILL."""
    shop = redis_shop
    await shop.group(processes=2, concurrency=20, lease="2s")
    async with Load(shop, Random(1)):
        for _ in range(2):
            await _progress(shop, 40)
            await asyncio.to_thread(getattr(own_redis_server, end))
            await asyncio.to_thread(own_redis_server.start)
        await _progress(shop, 40)
    ledger = await shop.checked()
    assert {record.state for record in ledger.records.values() if record is not None} == {JobState.SUCCEEDED}


async def test_a_group_says_once_that_its_carrier_is_away_and_once_that_it_is_back(
    redis_shop: Shop, own_redis_server: RedisServer
) -> None:
    """Not each of its processes for itself: the supervisor hears of all."""
    shop = redis_shop
    group = await shop.group(processes=2, lease="2s")
    await asyncio.to_thread(own_redis_server.kill)
    await until(lambda: "is not available" in group.log(), "the outage is said", 20)
    await asyncio.sleep(2)  # by now the others have noticed too
    await asyncio.to_thread(own_redis_server.start)
    await until(lambda: "is available again" in group.log(), "its end is said", 20)
    await shop.enqueue("quick")
    await shop.checked()
    said = [line for line in group.log().splitlines() if "available" in line]
    assert [" headway.supervisor: supervisor: its carrier is " in line for line in said] == [True, True], said


@pytest.mark.parametrize("seconds", [3.0, 5.5])
async def test_a_frozen_server_costs_delay_only(
    redis_shop: Shop, own_redis_server: RedisServer, seconds: float
) -> None:
    """The longer freeze is beyond the time after which an unanswered connection is replaced and its calls repeated."""
    shop = redis_shop
    await shop.group(processes=2, concurrency=20, lease="2s")
    async with Load(shop, Random(2)):
        await _progress(shop, 40)
        own_redis_server.pause()
        await asyncio.sleep(seconds)  # the fault itself
        own_redis_server.resume()
        await _progress(shop, 40)
    await shop.checked()


async def test_connections_killed_by_the_server_come_back(
    redis_shop: Shop, own_redis_server: RedisServer
) -> None:
    shop = redis_shop
    await shop.group(processes=2, concurrency=20, lease="5s")
    async with Load(shop, Random(3)) as load:
        for _ in range(5):
            await _progress(shop, 20)
            own_redis_server.call("CLIENT", "KILL", "TYPE", "pubsub")
            own_redis_server.call("CLIENT", "KILL", "TYPE", "normal")
        await _progress(shop, 20)
    assert not load.refused
    ledger = await shop.checked()
    assert not ledger.count(EventKind.RECLAIMED)


@pytest.mark.parametrize("seed", [11, 12])
async def test_connections_cut_before_and_after_the_write(
    own_redis_server: RedisServer, namespace: str, tmp_path: Path, seed: int
) -> None:
    """At random points, for the enqueuer and for the workers: no job is lost, doubled or run twice."""
    rng = Random(seed)
    async with (
        TcpProxy(own_redis_server.port) as front,
        TcpProxy(own_redis_server.port) as back,
        Shop(
            f"redis://127.0.0.1:{front.port}/0",
            namespace,
            tmp_path,
            worker_url=f"redis://127.0.0.1:{back.port}/0",
        ) as shop,
    ):
        await shop.group(processes=2, concurrency=20, lease="5s")
        async with Load(shop, rng) as load:
            for _ in range(30):
                proxy, direction = rng.choice((front, back, back)), rng.choice(tuple(Direction))
                # Half of the cuts fall on the border of a message: wholly before, or wholly after the write. Answers to
                # the enqueuer are short.
                most = 50 if proxy is front and direction is Direction.TO_CLIENT else 3000
                proxy.reset_after(rng.choice((0, rng.randint(1, most))), direction)
                async with asyncio.timeout(20):
                    await proxy.wait_reset()
            await _progress(shop, 20)
        assert not load.refused
        ledger = await shop.checked()
        assert {record.state for record in ledger.records.values() if record is not None} == {
            JobState.SUCCEEDED
        }


@pytest.mark.slow
@pytest.mark.xdist_group("sentinel")
async def test_a_failover_under_load_loses_nothing_that_was_replicated(
    redis_sentinel: RedisSentinel, namespace: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Redis replicates asynchronously: what the old primary acknowledged and had not passed on is lost by Redis itself.

    Promised is only that Headway adds no loss and no doubling of its own. So nothing is accepted or settled between
    the last WAIT for the replica and the kill; jobs are running at the kill, their settlements and new jobs meet the
    fail-over.
    """
    gate = tmp_path / "open"
    async with Shop(redis_sentinel.url, namespace, tmp_path) as shop:
        await shop.group(processes=2, concurrency=40, lease="15s")
        await shop.enqueue("quick", count=50)
        running = await shop.enqueue("gate", str(gate), count=50)
        await shop.started(running)
        await shop.finished(shop.accepted[:50])
        primary = redis_sentinel.primary
        await until(lambda: primary.call("WAIT", 1, 1000) == 1, "the replica has it all")
        old = await asyncio.to_thread(redis_sentinel.kill_primary)
        gate.touch()
        began = asyncio.get_running_loop().time()
        async with Load(shop, Random(4)) as load:
            await asyncio.to_thread(redis_sentinel.wait_failover, old)
            await _progress(shop, 40)
            took = asyncio.get_running_loop().time() - began
        ledger = await shop.checked(60)
        figure(
            f"40 jobs more were done {took:.1f} s after the primary was killed; {load.refused} enqueues refused"
        )
        assert {ledger.records[one].state for one in running} == {JobState.SUCCEEDED}  # type: ignore[union-attr]  # checked


async def test_an_enqueue_that_cannot_reach_the_server_raises_and_adds_nothing_twice(
    redis_shop: Shop, own_redis_server: RedisServer
) -> None:
    """Longer down than a call waits: it raises; the jobs of that call are there once or not at all.

    What ended meanwhile has its outcome when the server is back: under a lease that holds, no job runs again.
    """
    shop = redis_shop
    await shop.group(processes=1, concurrency=20, lease="120s")
    before = await shop.enqueue("slow", 0.5, count=20)
    await shop.started(before)
    await asyncio.to_thread(own_redis_server.kill)
    with pytest.raises(BrokerError):
        await shop.enqueue("quick", count=10)
    await asyncio.to_thread(own_redis_server.start)
    after = await shop.enqueue("quick", count=10)
    ledger = await shop.checked()
    assert {ledger.records[one].state for one in after} == {JobState.SUCCEEDED}  # type: ignore[union-attr]  # checked
    assert {ledger.records[one].epoch for one in before} == {1}  # type: ignore[union-attr]  # checked
