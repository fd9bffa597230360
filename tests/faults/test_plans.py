"""Every way to enqueue, every plan of the soak, with the usual settings: each job ends as it must, with no fault about."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.faults.book import WAYS, Book
from tests.faults.oracle import Circumstances, judge
from tests.faults.plans import HARMFUL, MILD, Asked, Want, draw
from tests.faults.records import all_records, by_tag, miscounted
from tests.faults.shop import Shop
from tests.faults.until import until_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(240), pytest.mark.parametrize("settings", [{"kill_after": "2s"}])]


@pytest.fixture
async def plain_shop(
    url: str, namespace: str, tmp_path: Path, settings: dict[str, str | int]
) -> AsyncIterator[Shop]:
    """Open a case that records no events, as by default."""
    async with Shop(url, namespace, tmp_path, settings=settings, events=False) as made:
        yield made


async def _checked(shop: Shop, book: Book, *, timely: bool) -> None:
    async def done() -> bool:
        rows = await shop.carrier.counts()
        return not any(count for row in rows for state, count in row.counts.items() if not state.terminal)

    await until_told(done, "all jobs end", 120, pause=0.1)
    records = await all_records(shop.carrier)
    steady = frozenset(pid for group in shop.groups for pid in group.workers)
    found = judge(
        list(book.asked.values()),
        by_tag(records),
        shop.effects(),
        Circumstances(steady=steady, timely=timely),
    )
    assert not found, "\n".join(f"{one.tag} {one.job_id}: {one.text}" for one in found)
    assert not await miscounted(shop.carrier, records)
    assert not book.refused


async def test_every_job_ends_as_its_plan_says(plain_shop: Shop) -> None:
    """Of what a small share of jobs would betray there are enough: hundreds of successes and of single enqueues."""
    shop, rng = plain_shop, Random(1)
    book = Book(shop.app, shop.environ)
    await shop.group(processes=2, concurrency=30, lease="15s", queues="default,side")
    # Of each kind, and in each way but the slowest, by which one is enough.
    for way in WAYS[:-1]:
        await book.ask([Asked(book.tag(), "soak_succeed", want=Want(attempts=1)) for _ in range(80)], way)
        kinds = sorted({*MILD, "long overtime"} - {"succeed"})
        await book.ask([draw(rng, book.tag(), lease=1.0, harm=False, among=[kind]) for kind in kinds], way)
        await book.ask(
            [draw(rng, book.tag(), lease=1.0, harm=False, among=["retry"]) for _ in range(10)], way
        )
    await book.ask([Asked(book.tag(), "soak_succeed", want=Want(attempts=1))], "cli")
    await _checked(
        shop, book, timely=False
    )  # a job that blocks may be ended hard, and its neighbours with it


async def test_jobs_that_end_their_worker_condemn_nobody_else(plain_shop: Shop) -> None:
    """Promise 5: each is counted for what it did itself; those beside it succeed, however often they have to begin anew."""
    shop, rng = plain_shop, Random(2)
    book = Book(shop.app, shop.environ)
    await shop.group(processes=2, concurrency=10, lease="5s", queues="default,side")
    innocent = [Asked(book.tag(), "soak_succeed", (1.5,), want=Want(attempts=1)) for _ in range(15)]
    harmful = [draw(rng, book.tag(), lease=1.0, harm=True, among=[kind]) for kind in sorted({*HARMFUL})]
    mixed = [*innocent, *harmful]
    rng.shuffle(mixed)
    await book.ask(mixed, "many")
    await _checked(shop, book, timely=False)
