"""An open file: its threads and its listeners."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from headway.brokers.sqlite.file.listeners import Listeners
from headway.brokers.sqlite.file.openfile import OpenFile
from headway.brokers.sqlite.file.parameters import id_list
from headway.brokers.sqlite.file.threads import Reader, Writer
from headway.brokers.sqlite.file.watcher import Watcher
from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from headway.brokers.base import BrokerSettings
    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.brokers.sqlite.location import Location
    from headway.clock import Clock
    from headway.storage.sqlite.identity import FileLoss

T = TypeVar("T")


class Opened:
    """The threads and listeners of a carrier while it is open."""

    def __init__(
        self,
        location: Location,
        settings: BrokerSettings,
        clock: Clock,
        lost: Callable[[Opened, FileLoss], None],
    ) -> None:
        """Prepare the threads; `start` opens the file. `lost` is called on the loop when it is not there any more."""
        self.file = OpenFile(location, self._lost)
        self.writer = Writer(location, self.file, settings, clock, self._nudge)
        self.reader = Reader(location, self.file)
        self.listeners = Listeners(self._want, self._recheck)
        self.watcher: Watcher | None = None
        self.location = location
        self.lost: FileLoss | None = None  # set on the loop, before listeners are ended for it
        self._loop = asyncio.get_running_loop()
        self._tell_lost = lost
        self._checks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the file; translated errors."""
        await self.writer.start()
        await self.reader.start()
        self.watcher = Watcher(self.location, self.file, self.writer.app, self._loop, self.listeners.report)

    async def stop(self) -> None:
        """End all listening, finish queued operations, close the file; OSError when that would damage it."""
        self.listeners.close()
        superseded = self.file.superseded
        holder = await self._loop.run_in_executor(None, self.file.hold) if superseded else None
        await self.writer.stop()
        await self.reader.stop()
        if self.watcher is not None and (thread := self.watcher.stop()) is not None:
            await self._loop.run_in_executor(None, thread.join)
        if holder is not None:
            await self._loop.run_in_executor(None, holder.end)

    def _lost(self, loss: FileLoss) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody opens the file again
            self._loop.call_soon_threadsafe(self._note_loss, loss)

    def _note_loss(self, loss: FileLoss) -> None:
        if self.lost is None:
            self.lost = loss
            self._tell_lost(self, loss)

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
            self.listeners.ended(await self.reader.submit(lambda db: _ended(db, app, ids)))

    def write(self, operation: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Queue an operation for the next transaction."""
        return self.writer.submit(operation)

    def read(self, operation: Callable[[sqlite3.Connection, int], T]) -> asyncio.Future[T]:
        """Queue a query, which is given the number of the app."""
        if self.lost is not None:
            self.file.verify(now=True)  # raises: what stands in a file that is gone says nothing
        app = self.writer.app
        return self.reader.submit(lambda db: operation(db, app))


def _ended(db: sqlite3.Connection, app: int, ids: list[str]) -> list[str]:
    """Return those of the jobs that are terminal or not known."""
    rows = db.execute(
        "SELECT wanted.value FROM json_each(?) AS wanted LEFT JOIN job ON job.app = ? AND job.id = wanted.value "
        "WHERE job.state IS NULL OR job.state > 2",
        (id_list(ids), app),
    )
    return [job_id for (job_id,) in rows]
