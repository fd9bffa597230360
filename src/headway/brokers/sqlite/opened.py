"""An open file: its threads, and who listens to it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from headway.brokers.sqlite import streams
from headway.brokers.sqlite.listeners import Listeners
from headway.brokers.sqlite.threads import Reader, Writer
from headway.brokers.sqlite.watcher import Watcher
from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from headway.brokers.base import BrokerSettings
    from headway.brokers.sqlite.location import Location
    from headway.brokers.sqlite.transaction import Transaction
    from headway.clock import Clock

T = TypeVar("T")


class Opened:
    """What an open carrier has and a closed one has not."""

    def __init__(self, location: Location, settings: BrokerSettings, clock: Clock) -> None:
        """Prepare the threads; `start` opens the file."""
        self.writer = Writer(location, settings, clock, self._nudge)
        self.reader = Reader(location)
        self.listeners = Listeners(self._want, self._recheck)
        self.watcher: Watcher | None = None
        self._location = location
        self._checks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the file; translated errors."""
        await self.writer.start()
        await self.reader.start()
        self.watcher = Watcher(
            self._location, self.writer.app, asyncio.get_running_loop(), self.listeners.report
        )

    async def stop(self) -> None:
        """Let those who listen go, finish what was queued, close the file."""
        self.listeners.close()
        await self.writer.stop()
        await self.reader.stop()
        if self.watcher is not None and (thread := self.watcher.stop()) is not None:
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    def _nudge(self) -> None:
        if self.watcher is not None:
            self.watcher.nudge()

    def _want(self, *, wanted: bool) -> None:
        if self.watcher is not None:
            self.watcher.want(wanted=wanted)

    def _recheck(self) -> None:
        task = asyncio.get_running_loop().create_task(self._check())
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _check(self) -> None:
        ids, app = self.listeners.waited_for, self.writer.app
        with suppress(BrokerUnavailableError):  # closing: everybody has been let go
            self.listeners.ended(await self.reader.submit(lambda db: streams.ended(db, app, ids)))

    def write(self, operation: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Queue an operation for the next transaction."""
        return self.writer.submit(operation)

    def read(self, operation: Callable[[sqlite3.Connection, int], T]) -> asyncio.Future[T]:
        """Queue a query, which is given the number of the app."""
        app = self.writer.app
        return self.reader.submit(lambda db: operation(db, app))
