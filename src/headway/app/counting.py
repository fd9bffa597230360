"""Counts what becomes of jobs in this process, and puts the sums where all processes of the app put theirs."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError
from headway.figures.gatherer import Gatherer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.brokers.base import FiguresStore, Settlement, Store
    from headway.clock import Clock
    from headway.figures.gatherer import Times
    from headway.job import Delivery

    Count = Callable[[Sequence[Settlement], Sequence[Delivery], Sequence[Times], Sequence[bool]], None]

PAUSE: Final = 5.0  # seconds between two writes
_LAST: Final = 1.0  # seconds that the last one may take: nobody's shutdown waits for figures


class Counting:
    """Gathers in memory and writes every few seconds; what cannot be written yet is kept, within bounds."""

    def __init__(self, store: FiguresStore, source: str, clock: Clock) -> None:
        """`source` names this process and no other one."""
        self.gatherer = Gatherer(source)
        self._store = store
        self._clock = clock

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
        return PAUSE * random.uniform(0.8, 1.2)  # noqa: S311 - spread

    async def finish(self) -> None:
        """Write the last of it; a store that is away keeps nobody from going."""
        with contextlib.suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(_LAST):
                await self._write()  # what may have been on its way already: it counts once
                await self._write()

    async def _write(self) -> None:
        delta = self.gatherer.take()
        if delta is not None:
            await self._store.add_figures(delta)
            self.gatherer.written(delta.number)


def counting(carriers: Mapping[str, Store], source: str, clock: Clock) -> Counting | None:
    """Return what counts for an app with these carriers; None when none of them keeps figures."""
    stores = (one.capabilities.figures for one in carriers.values())
    store = next((one for one in stores if one is not None), None)
    return None if store is None else Counting(store, source, clock)
