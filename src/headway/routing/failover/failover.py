"""Fail-over of one open app: its spool, the breakers of its carriers, and who brings jobs home."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast

from headway.errors import ConfigError, SpoolError
from headway.routing.carriers.sides import Sides
from headway.routing.failover.breaker import Breaker, BreakerState, Thresholds
from headway.routing.failover.carrier import SpooledCarrier
from headway.routing.failover.flushing import Flusher
from headway.routing.failover.others import Others
from headway.routing.failover.remembering import Memory
from headway.routing.failover.router import FailingOver
from headway.routing.failover.spool import Spool, spool_path
from headway.routing.failover.spoolfile import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Store
    from headway.clock import Clock
    from headway.config import Settings
    from headway.job import NewJob
    from headway.routing.failover.entries import Contents
    from headway.routing.following import Following

_PAUSE: Final = 0.2  # seconds


class Counting(Protocol):
    """Counts the jobs that carriers take."""

    def kept(self, carrier: str, jobs: Sequence[NewJob], /) -> None:
        """Count these not: they are in the spool, though the carrier seems to have taken them."""
        ...

    def brought(self, carrier: str, jobs: Sequence[NewJob], /) -> None:
        """Count these: the carrier has taken them from the spool."""
        ...


class Failover:
    """Puts a breaker and the spool before each carrier of an app."""

    def __init__(self, app: str, stores: Mapping[str, Store], settings: Settings, clock: Clock) -> None:
        """`app` names whose spool it is; ConfigError when `settings.spool` is no file."""
        self._stores = dict(stores)
        self._clock = clock
        bounds = Bounds(settings.spool_limit, settings.spool_bytes)
        self._spool = Spool(spool_path(settings.spool), app, bounds, clock)
        self._memory = Memory(
            round(min(settings.keep_succeeded, settings.keep_failed) * 1000), settings.max_succeeded
        )
        thresholds = Thresholds(
            settings.breaker_errors,
            settings.breaker_window,
            settings.breaker_timeout,
            settings.breaker_pause,
        )
        self.carriers = {
            name: SpooledCarrier(name, store, Breaker(thresholds), self._spool, clock)
            for name, store in stores.items()
        }
        self._router: FailingOver | None = None
        self._counting: Counting | None = None
        self.flushers: dict[str, Flusher] = {}

    @property
    def stores(self) -> Mapping[str, Store]:
        """The carriers as jobs are to be given to them."""
        return {name: cast("Store", carrier) for name, carrier in self.carriers.items()}

    def around(self, router: Following) -> FailingOver:
        """Return routes that lead round a carrier that is away; those of an app with several carriers."""
        self._router = FailingOver(router, self.carriers)
        return self._router

    def count(self, counting: Counting) -> None:
        """Tell this of the jobs that go into the spool and out of it."""
        self._counting = counting
        for carrier in self.carriers.values():
            carrier.kept = counting.kept

    async def open(self) -> None:
        """Open the spool; the carriers are opened by whoever has them. ConfigError says what is wrong with the file."""
        await self._spool.open()
        sides = Sides(self._stores)
        for name, carrier in self.carriers.items():
            router = self._router
            others = None if router is None else Others(name, self._stores, sides, router)
            self.flushers[name] = Flusher(
                carrier, self._spool, self._memory, self._clock, others=others, router=router
            )
            self.flushers[name].brought = None if self._counting is None else self._counting.brought

    def start(self) -> None:
        """Bring home, from now on, what is in the spool."""
        for flusher in self.flushers.values():
            flusher.start()

    async def contents(self) -> Contents:
        """Return what the spool holds."""
        return await self._spool.contents()

    async def parked(self, limit: int) -> list[tuple[str, str, str]]:
        """Return id, carrier and reason of jobs that were set aside."""
        return await self._spool.parked(limit)

    async def flush(self) -> Contents:
        """Bring home all that can be, and wait for other processes that do; return what is left."""
        for name, flusher in self.flushers.items():
            if not self.carriers[name].breaker.admits:
                await flusher.look()
        while True:
            left = await self._spool.contents()
            going = [one.carrier for one in left.lanes if self._can_flush(one.carrier)]
            if not going:
                return left
            for name in dict.fromkeys(going):
                if not await self.flushers[name].flush():
                    await asyncio.sleep(_PAUSE)  # another process is at it, or nothing goes: then it says why

    def _can_flush(self, name: str) -> bool:
        flusher = self.flushers.get(name)
        return flusher is not None and self.carriers[name].breaker.admits and not flusher.held_up

    async def drop_parked(self) -> int:
        """Forget jobs that were set aside; return how many."""
        return await self._spool.drop_parked()

    async def unpark(self) -> int:
        """Let jobs that were set aside go to their carriers; return how many."""
        return await self._spool.unpark()

    async def close(self) -> None:
        """Close the spool; what is in it stays."""
        for flusher in self.flushers.values():
            await flusher.stop()
        if any(one.breaker.state is not BreakerState.CLOSED for one in self.carriers.values()):
            with suppress(
                ConfigError, SpoolError
            ):  # the file is gone, or full: it is forgotten seconds later
                await self._spool.forget_breakers(os.getpid())
        await self._spool.close()
