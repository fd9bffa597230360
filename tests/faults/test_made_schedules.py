"""Schedules made at run time, fired by several worker groups, of which some are killed and others come: promise 6."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import JobQuery
from headway.codec import describe
from headway.schedules.made import decode_definition
from tests.faults.until import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import Store
    from headway.job import JobRecord
    from tests.faults.shop import Shop

pytestmark = pytest.mark.timeout(120)

COUNT = 40
FIRES = 5  # of each, at the least


async def test_each_fire_time_gives_one_job_whoever_dies(shop: Shop, figure: Callable[[str], None]) -> None:
    """Forty schedules that are all due in each second; with `all` none may be left out, and none may come twice."""
    schedules = shop.app.schedules
    for n in range(COUNT):
        job = shop.app.find_task("quick").options(headers={"schedule": f"s{n}"}).job()
        await schedules.create(f"s{n}", job, every="1s", catch_up="all")
    groups = await asyncio.gather(shop.group(concurrency=50), shop.group(concurrency=50))
    for turn, share in enumerate((1, FIRES // 2, FIRES)):
        await until(partial(_ended, shop, COUNT * share), f"fires of turn {turn}", 30)
        if turn < len(groups):
            groups[turn].kill_all()
        if not turn:
            await shop.group(concurrency=50)
    for n in range(COUNT):
        assert await schedules.pause(f"s{n}")
    await asyncio.sleep(0.5)  # what a scheduler had read before it was paused is enqueued by now
    expected = {
        one.name: (one.last_fire_ms or 0) // 1000 - decode_definition(one.body).since_ms // 1000
        for one in await shop.carrier.made_schedules()
    }
    assert min(expected.values()) >= FIRES - 1
    jobs = await _all(shop.carrier)
    assert Counter(describe(one.payload)["headers"]["schedule"] for one in jobs) == expected
    shop.accepted = [one.id for one in jobs]
    await shop.checked()
    ends = Counter(effect["job"] for effect in shop.effects(what="end"))
    assert ends.keys() == set(shop.accepted)
    figure(f"{len(jobs)} fires of {COUNT} schedules by 3 groups, 2 of them killed: one job each")


async def _all(carrier: Store) -> list[JobRecord]:
    found: list[JobRecord] = []
    after: str | None = None
    while True:
        page = await carrier.list(JobQuery(), after=after, limit=500)
        found += page.jobs
        after = page.cursor
        if after is None:
            return found


def _ended(shop: Shop, count: int) -> bool:
    return len(shop.effects(what="end")) >= count
