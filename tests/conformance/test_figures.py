"""Figures: what many processes have counted adds up, once each, and is kept for its time and within its bounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from headway.figures.gatherer import Delta
from headway.figures.histogram import histogram
from headway.figures.values import (
    COARSE_MINUTES,
    MAX_ROWS_OF_SPAN,
    MINUTE_MS,
    OTHER,
    Counts,
    Figures,
    Row,
    figures,
)
from tests.conformance.scene import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from headway.brokers.base import FiguresStore
    from headway.testing import FakeClock
    from tests.conformance.scene import Scene
    from tests.conformance.store import Store

pytestmark = pytest.mark.needs("figures")


@pytest.fixture
def kept(scene: Scene) -> FiguresStore:
    """Give the test the carrier as a store of figures."""
    kept = scene.carrier.capabilities.figures
    assert kept is not None
    return kept


def counts(*durations: float, enqueued: int = 0) -> Counts:
    total = histogram(list(durations))
    return Counts(
        enqueued=enqueued,
        started=total.total,
        succeeded=total.total,
        latency=histogram([3.0]),
        duration=total,
    )


def row(at_ms: int, given: Counts, queue: str = "q", task: str = "t", carrier: str = "main") -> Row:
    return Row(at_ms // MINUTE_MS, queue, task, carrier, given)


def delta(number: int, *rows: Row, source: str = "one") -> Delta:
    return Delta(source, number, figures(rows))


async def everything(kept: FiguresStore, clock: FakeClock, *, coarse: bool = False) -> Figures:
    return await kept.figures(0, clock.now_ms() + DAY, coarse=coarse)


async def test_figures_are_read_as_they_were_written(kept: FiguresStore, clock: FakeClock) -> None:
    given = Counts(1, 2, 3, 4, 5, 6, 7, histogram([0.5, 80.0, 80.0]), histogram([2.0**31]))
    names = ("ünï:cödé", "a task|b", "east")
    written = delta(1, row(clock.now_ms(), given, *names), row(clock.now_ms(), Counts(enqueued=2**40)))
    await kept.add_figures(written)
    assert await everything(kept, clock) == written.figures
    assert await everything(kept, clock, coarse=True) == written.figures.coarse()


async def test_nothing_is_there_at_first(kept: FiguresStore, clock: FakeClock) -> None:
    assert await everything(kept, clock) == Figures()
    assert await kept.figures(clock.now_ms(), clock.now_ms()) == Figures()


async def test_a_write_that_is_repeated_counts_once(kept: FiguresStore, clock: FakeClock) -> None:
    first = delta(1, row(clock.now_ms(), counts(10.0)))
    second = delta(2, row(clock.now_ms(), counts(20.0)))
    for one in (first, first, second, second, first):
        await kept.add_figures(one)
    assert await everything(kept, clock) == first.figures.merged(second.figures)
    again = delta(1, row(clock.now_ms(), counts(30.0)), source="two")
    await kept.add_figures(again)
    assert await everything(kept, clock) == first.figures.merged(second.figures, again.figures)


async def test_what_many_write_adds_up(kept: FiguresStore, clock: FakeClock, store: Store) -> None:
    now = clock.now_ms()
    deltas = [
        delta(
            number,
            row(now, counts(float(number), 5.0 * writer, enqueued=1)),
            row(now - number * MINUTE, counts(7.0), queue=f"q{writer % 2}"),
            row(now, counts(1.0), carrier=f"c{number % 2}"),
            source=f"writer {writer}",
        )
        for writer in range(5)
        for number in range(1, 5)
    ]
    async with store.broker() as opened:
        stores = (kept, cast("FiguresStore", opened))

        async def write(writer: int) -> None:
            for one in deltas[writer * 4 : writer * 4 + 4]:
                await stores[writer % 2].add_figures(one)

        await asyncio.gather(*(write(writer) for writer in range(5)))
    total = Figures().merged(*(one.figures for one in deltas))
    assert await everything(kept, clock) == total
    assert await everything(kept, clock, coarse=True) == total.coarse()


async def test_a_reader_gets_the_minutes_and_the_queue_that_it_asks_for(
    kept: FiguresStore, clock: FakeClock
) -> None:
    clock.advance(MINUTE - clock.now_ms() % MINUTE)
    now = clock.now_ms()
    rows = [row(now - ago * MINUTE, counts(5.0), queue) for ago in range(70) for queue in ("q", "qq")]
    await kept.add_figures(delta(1, *rows))
    found = await kept.figures(now - 60 * MINUTE, now - MINUTE, queue="q")
    assert [one.key for one in found.rows] == [
        (now // MINUTE_MS - ago, "q", "t", "main") for ago in range(60, 1, -1)
    ]
    assert len((await kept.figures(now - 1, now + 1)).rows) == 2
    assert (await kept.figures(0, now, queue="nobody's")).rows == ()
    assert len((await everything(kept, clock)).rows) == 140


async def test_the_minutes_are_kept_for_two_days_and_the_half_hours_for_thirty(
    kept: FiguresStore, clock: FakeClock
) -> None:
    old = delta(1, row(clock.now_ms(), counts(5.0)))
    await kept.add_figures(old)
    clock.advance(48 * HOUR - MINUTE)
    assert await everything(kept, clock) == old.figures
    clock.advance(MINUTE)
    assert await everything(kept, clock) == Figures()
    assert await everything(kept, clock, coarse=True) == old.figures.coarse()
    young = delta(2, row(clock.now_ms(), counts(6.0)))
    await kept.add_figures(young)
    assert await everything(kept, clock) == young.figures
    clock.advance(28 * DAY - COARSE_MINUTES * MINUTE)
    assert await everything(kept, clock, coarse=True) == old.figures.merged(young.figures).coarse()
    clock.advance(COARSE_MINUTES * MINUTE)
    assert await everything(kept, clock, coarse=True) == young.figures.coarse()


async def test_what_comes_too_late_is_left_out_and_what_is_ahead_is_of_now(
    kept: FiguresStore, clock: FakeClock
) -> None:
    now = clock.now_ms()
    late = row(now - 49 * HOUR, counts(5.0), queue="late")
    ahead = row(now + DAY, counts(6.0), queue="ahead")
    await kept.add_figures(delta(1, late, ahead))
    found = await everything(kept, clock)
    assert [one.key for one in found.rows] == [(now // MINUTE_MS, "ahead", "t", "main")]
    assert {one.queue for one in (await everything(kept, clock, coarse=True)).rows} == {"late", "ahead"}


async def test_rows_of_a_minute_have_a_bound_and_nothing_is_lost_by_it(
    kept: FiguresStore, clock: FakeClock
) -> None:
    now = clock.now_ms()
    tasks = [row(now, counts(5.0), task=f"t{n}") for n in range(MAX_ROWS_OF_SPAN + 50)]
    queues = [row(now, counts(5.0), queue=f"q{n}") for n in range(MAX_ROWS_OF_SPAN + 50)]
    await kept.add_figures(delta(1, *tasks))
    await kept.add_figures(delta(2, *queues))
    await kept.add_figures(delta(3, *tasks))
    found = await everything(kept, clock)
    assert len(found.rows) <= 2 * MAX_ROWS_OF_SPAN + 1
    assert found.of().succeeded == 3 * (MAX_ROWS_OF_SPAN + 50)
    assert found.of(queue="q").succeeded == 2 * (MAX_ROWS_OF_SPAN + 50)
    assert found.of(queue=OTHER).succeeded > 0
    assert [one.counts.succeeded for one in found.rows if one.task == "t0"] == [2]


async def test_the_oldest_rows_go_beyond_the_number_that_is_kept(
    kept: FiguresStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for driver in ("redis", "sqlite"):
        monkeypatch.setattr(f"headway.brokers.{driver}.figures.MAX_ROWS_KEPT", 20)
    now = clock.now_ms()
    minutes = range(200, 90, -1)
    for number, ago in enumerate(minutes):
        await kept.add_figures(delta(number + 1, row(now - ago * MINUTE, counts(5.0))))
    found = await everything(kept, clock)
    assert 20 <= len(found.rows) <= 21
    assert found.rows[-1].minute == now // MINUTE_MS - minutes[-1]
    assert (await everything(kept, clock, coarse=True)).of().succeeded == len(minutes)


async def test_figures_are_those_of_one_app(kept: FiguresStore, clock: FakeClock, store: Store) -> None:
    await kept.add_figures(delta(1, row(clock.now_ms(), counts(5.0))))
    async with store.broker(namespace=store.namespace + "2") as other:
        theirs = cast("FiguresStore", other)
        assert await everything(theirs, clock) == Figures()
        await theirs.add_figures(delta(1, row(clock.now_ms(), counts(6.0))))
    assert (await everything(kept, clock)).of().succeeded == 1


async def test_tending_keeps_what_is_young(scene: Scene, kept: FiguresStore, clock: FakeClock) -> None:
    await kept.add_figures(delta(1, row(clock.now_ms(), counts(5.0))))
    clock.advance(HOUR)
    await scene.carrier.tend()
    assert (await everything(kept, clock)).of().succeeded == 1
