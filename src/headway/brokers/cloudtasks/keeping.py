"""The guard of this carrier, opened when it is first needed: a plain enqueue does without it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headway.errors import CodecError, UnsupportedError
from headway.guards.document import entry_key, from_entry
from headway.guards.guard import Guard
from headway.guards.transitions import WAITING

if TYPE_CHECKING:
    from headway.brokers.base import BrokerSettings
    from headway.clock import Clock
    from headway.guards.base import GuardStore
    from headway.guards.document import PushedJob
    from headway.job import JobId


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

    async def waiting_turn(self, job_id: JobId) -> PushedJob | None:
        """Return the turn whose task a job waits for, as the guard has it; None: it waits for none that it knows of."""
        store = await self.store()
        if store is None:
            return None
        [entry] = await store.read([entry_key(job_id)], now_ms=self._clock.now_ms())
        if entry is None:
            return None
        try:
            document = from_entry(entry)
        except CodecError:
            return None
        return document.pushed if not document.removed and document.state in WAITING else None

    async def close(self) -> None:
        """Close the guard, if it is open; it is opened again when it is needed."""
        async with self._switch:
            opened, self._open = self._open, None
            if opened is not None:
                await opened[0].close()

    async def _opened(self, needed_for: str) -> None:
        if self._store is None:
            msg = f"{needed_for} needs the guard: set `guard` (HEADWAY_GUARD) to the URL of its store"
            raise UnsupportedError(msg)
        async with self._switch:
            if self._open is None:
                guard = Guard(self._store, settings=self._settings, clock=self._clock)
                await guard.open()
                self._open = guard, self._store
