"""The guard of this carrier, opened when it is first needed: a plain enqueue does without it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headway.errors import UnsupportedError
from headway.guards.guard import Guard

if TYPE_CHECKING:
    from headway.brokers.base import BrokerSettings
    from headway.clock import Clock
    from headway.guards.base import GuardStore


class Keeping:
    """Hands out the open guard."""

    def __init__(self, store: GuardStore | None, settings: BrokerSettings, clock: Clock) -> None:
        """`store` is None where the settings name no guard."""
        self._store = store
        self._settings = settings
        self._clock = clock
        self._open: tuple[Guard, GuardStore] | None = None
        self._switch = asyncio.Lock()

    async def guard(self, needed_for: str) -> Guard:
        """Return the guard; UnsupportedError tells what it is needed for when there is none."""
        if self._open is None:
            await self._opened(needed_for)
        assert self._open is not None  # noqa: S101 - for the type checkers
        return self._open[0]

    async def store(self) -> GuardStore | None:
        """Return the guard's store; None where the settings name none."""
        if self._open is None and self._store is not None:
            await self._opened("")
        return None if self._open is None else self._open[1]

    @property
    def opened(self) -> Guard | None:
        """The guard, if it is open."""
        return None if self._open is None else self._open[0]

    def check(self, needed_for: str) -> None:
        """Raise UnsupportedError where the settings name no guard; nothing is opened."""
        if self._store is None:
            msg = f"{needed_for} needs the guard: set `guard` (HEADWAY_GUARD) to the URL of its store"
            raise UnsupportedError(msg)

    async def close(self) -> None:
        """Close the guard, if it is open; it is opened again when it is needed."""
        async with self._switch:
            opened, self._open = self._open, None
            if opened is not None:
                await opened[0].close()

    async def _opened(self, needed_for: str) -> None:
        self.check(needed_for)
        assert self._store is not None  # noqa: S101 - for the type checkers
        async with self._switch:
            if self._open is None:
                guard = Guard(self._store, settings=self._settings, clock=self._clock)
                await guard.open()
                self._open = guard, self._store
