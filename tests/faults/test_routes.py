"""Traffic that flips between two carriers while jobs arrive, run and lose their workers: each is on one, and ends once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter, defaultdict
from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from headway.brokers.base import JobQuery
from headway.job import JobState
from headway.routing.changing import change_routes, control_of
from headway.routing.following import SETTLING
from headway.routing.routes import Route, route_of
from tests.faults.load import Load
from tests.faults.processes import send
from tests.faults.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headway.job import JobRecord
    from headway.routing.table import RouteTable

SECONDS: Final = float(os.environ.get("HEADWAY_FLIPPED", "12"))
"""How long the routes flip; `HEADWAY_FLIPPED=60` is the long form."""
_QUEUE: Final = "default"


async def _flip(shop: Shop, ends: asyncio.Event) -> int:
    """Send all to one carrier, then all to the other, as fast as changes may follow on each other."""
    control = control_of(shop.app.carriers)
    flips = 0
    while not ends.is_set():
        weights = ({"west": 100}, {"east": 100}, {"east": 50, "west": 50})[flips % 3]
        route = route_of(_QUEUE, weights)

        def edit(table: RouteTable, now_ms: int, route: Route = route) -> RouteTable:
            return table.changed({_QUEUE: route}, who="test", when_ms=now_ms, why="", unrouted=_unrouted)

        await change_routes(control, edit, shop.app.clock)
        flips += 1
        try:
            async with asyncio.timeout(SETTLING):
                await ends.wait()
        except TimeoutError:
            pass
    return flips


def _unrouted(queue: str) -> Route:
    return route_of(queue, {"east": 100})


async def _name_jobs(shop: Shop, ends: asyncio.Event) -> dict[str, set[str]]:
    """Enqueue jobs under keys that come again and again, and unique ones; return the ids that each key was told."""
    rng = Random(7)
    task = shop.app.find_task("quick")
    told: dict[str, set[str]] = defaultdict(set)
    number = 0
    while not ends.is_set():
        number += 1
        key = f"key-{number // 20}-{rng.randrange(5)}"  # most come again within seconds, some across a flip
        handle = await task.options(key=key).enqueue()
        told[key].add(handle.id)
        if not handle.duplicate:
            shop.accepted.append(handle.id)
        await asyncio.sleep(0.01)
    return told


async def _kill(shop: Shop, ends: asyncio.Event) -> int:
    rng = Random(11)
    killed = 0
    while not ends.is_set():
        try:
            async with asyncio.timeout(rng.uniform(0.8, 1.6)):
                await ends.wait()
        except TimeoutError:
            if workers := [pid for group in shop.groups for pid in group.workers]:
                send(rng.choice(workers), signal.SIGKILL)
                killed += 1
    return killed


async def _all(shop: Shop) -> dict[str, list[tuple[str, JobRecord]]]:
    """Return every job of every carrier, by id."""
    found: dict[str, list[tuple[str, JobRecord]]] = defaultdict(list)
    for name, store in shop.app.carriers.items():
        after: str | None = None
        while True:
            page = await store.list(JobQuery(), after=after, limit=1000)
            for record in page.jobs:
                found[record.id].append((name, record))
            if page.cursor is None:
                break
            after = page.cursor
    return found


@pytest.mark.timeout(SECONDS * 2 + 150)
async def test_routes_that_flip_under_load_lose_no_job_and_complete_none_twice(
    tmp_path: Path, namespace: str, redis_url: str, figure: Callable[[str], None]
) -> None:
    carriers = {"east": f"sqlite:///{tmp_path}/east.db", "west": redis_url}
    async with Shop(
        carriers["east"], namespace, tmp_path, carriers=carriers, events=False, show_logs=True
    ) as shop:
        await asyncio.gather(shop.group(processes=2), shop.group())
        ends = asyncio.Event()
        async with Load(shop, Random(3)):
            flipping = asyncio.create_task(_flip(shop, ends))
            naming = asyncio.create_task(_name_jobs(shop, ends))
            killing = asyncio.create_task(_kill(shop, ends))
            await asyncio.sleep(SECONDS)  # the length of the run is what is asked for
            ends.set()
            flips, told, killed = await asyncio.gather(flipping, naming, killing)
        await shop.finished(within=60)
        found = await _all(shop)
    on = Counter(name for places in found.values() for name, _ in places)
    figure(f"{len(shop.accepted)} jobs on {dict(on)}, {flips} changes of routes, {killed} workers killed")
    assert set(shop.accepted) == set(found)
    assert all(len(places) == 1 for places in found.values())
    assert {places[0][1].state for places in found.values()} == {JobState.SUCCEEDED}
    assert [key for key, ids in told.items() if len(ids) > 1] == []
    assert flips > 1
    assert killed > 1
    assert min(on["east"], on["west"]) > len(shop.accepted) / 10
