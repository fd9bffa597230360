"""Counts what becomes of jobs in this process, and puts the sums where all processes of the app put theirs."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError
from headway.figures.gatherer import Gatherer
from headway.figures.published import published

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.brokers.base import FiguresStore, Settlement, Store
    from headway.clock import Clock
    from headway.figures.gatherer import Times
    from headway.figures.published import Published
    from headway.job import Delivery

    Measured = tuple[Mapping[str, float], Mapping[str, float]]
    """What only grew, and what is so now, by name."""
    Count = Callable[[Sequence[Settlement], Sequence[Delivery], Sequence[Times], Sequence[bool]], None]

PAUSE: Final = 5.0  # seconds between two writes
HURRIED: Final = 2.0
"""The same while a roll-out is under way: what goes wrong there is to be seen soon."""
_LAST: Final = 1.0  # seconds that the last one may take: nobody's shutdown waits for figures


class Counting:
    """Gathers in memory and writes every few seconds; what cannot be written yet is kept, within bounds."""

    def __init__(
        self, store: FiguresStore | None, source: str, clock: Clock, published: Published | None = None
    ) -> None:
        """`source` names this process and no other one. `published`: also here, where metrics are served from."""
        self.gatherer = Gatherer(source)
        self.measure: Callable[[], Measured] = nothing
        self._store = store
        self._clock = clock
        self._published = published
        self.hurried: Callable[[], bool] | None = None
        """Tells whether somebody waits for the figures."""

    def of_carrier(self, name: str) -> Count:
        """Return what is called with the settled attempts of the carrier of this name, and which were applied."""
        gatherer, clock = self.gatherer, self._clock

        def count(
            items: Sequence[Settlement],
            deliveries: Sequence[Delivery],
            times: Sequence[Times],
            applied: Sequence[bool],
        ) -> None:
            outcomes = [item.outcome for item in items]
            gatherer.settled(
                name, clock.now_ms(), time.monotonic(), zip(deliveries, outcomes, times, applied, strict=True)
            )

        return count

    async def round(self) -> float:
        """Write what was gathered, in one call; return the seconds until the next time."""
        await self._write()
        return self.pause()

    def pause(self) -> float:
        """Return the seconds between two writes, spread."""
        pause = min(PAUSE, HURRIED) if self.hurried is not None and self.hurried() else PAUSE
        return pause * random.uniform(0.8, 1.2)  # noqa: S311 - spread

    async def finish(self) -> None:
        """Write the last of it; a store that is away keeps nobody from going."""
        with contextlib.suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(_LAST):
                await self._write()  # what may have been on its way already: it counts once
                await self._write()

    async def _write(self) -> None:
        delta = self.gatherer.take()
        if self._published is not None:
            if delta is not None:
                self._published.add(delta.number, delta.figures)
            self._published.write(*self.measure())
        if delta is not None:
            if self._store is not None:
                await self._store.add_figures(delta)
            self.gatherer.written(delta.number)


def nothing() -> Measured:
    """Return what a process has measured that measures nothing."""
    return {}, {}


def counting(carriers: Mapping[str, Store], source: str, clock: Clock) -> Counting | None:
    """Return what counts for an app with these carriers; None when none keeps figures and nobody serves metrics."""
    stores = (one.capabilities.figures for one in carriers.values())
    store = next((one for one in stores if one is not None), None)
    public = published()
    return None if store is None and public is None else Counting(store, source, clock, public)
