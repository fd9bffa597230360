"""Keeps records in a SQLite file: changes are gathered while one commit is under way, and written with the next one."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from headway.emulator.errors import ApiError, Code
from headway.emulator.schema import connect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

_log: Final = logging.getLogger("headway.emulator")

T = TypeVar("T")

_PUT: Final = (
    "INSERT INTO record (kind, name, data) VALUES (?, ?, ?) "
    "ON CONFLICT (kind, name) DO UPDATE SET data = excluded.data"
)
_DROP: Final = "DELETE FROM record WHERE kind = ? AND name = ?"


class _Batch(NamedTuple):
    """Changes by kind and name (None: dropped), and who waits for them."""

    changes: dict[tuple[str, str], bytes | None]
    waiters: list[asyncio.Future[None]]


class Journal:
    """Records by kind and name. Without a path nothing is kept, and a commit is free.

    A change is durable when a `commit` that was begun after it returns. When the file cannot be written any more,
    every later commit fails: what is in memory is then ahead of the file, and only a restart brings both together.
    """

    def __init__(self, path: Path | None = None) -> None:
        """`open` opens the file."""
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()
        self._pending = _Batch({}, [])
        self._writing = False
        self._scheduled = False
        self._failure: str | None = None
        self._kept: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Open the file and read what it holds; ConfigError when it is not ours or in use. Idempotent."""
        if self.path is None or self._db is not None:
            return
        self._db = await asyncio.to_thread(connect, self.path)
        for kind, name, data in self._db.execute("SELECT kind, name, data FROM record ORDER BY rowid"):
            self._kept[kind][name] = data
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_all, name="headway-emulator-journal", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Write what is left and close the file. Idempotent."""
        if self._db is None or self._thread is None:
            return
        with suppress(ApiError):
            await self.commit()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._db.close()
        self._db = self._thread = None

    @property
    def failure(self) -> str | None:
        """Why the file cannot be written any more; None while it can."""
        return self._failure

    def check(self) -> None:
        """UNAVAILABLE when the file cannot be written any more."""
        if self._failure is not None:
            raise ApiError(Code.UNAVAILABLE, self._failure)

    def load(self, kind: str) -> dict[str, bytes]:
        """Hand over the records of a kind as they were found in the file, oldest first; once."""
        return self._kept.pop(kind, {})

    def read(self, kind: str, decode: Callable[[bytes], T]) -> dict[str, T]:
        """Hand over the records of a kind, decoded; a damaged one is named, left out, and kept in the file."""
        found: dict[str, T] = {}
        for name, data in self.load(kind).items():
            try:
                found[name] = decode(data)
            except Exception as error:  # noqa: BLE001 - whatever is in the file, the other records are served
                _log.error("state file %s: %s %s is damaged and left out: %s", self.path, kind, name, error)
        return found

    def put(self, kind: str, name: str, data: bytes) -> None:
        """Keep a record."""
        self._change(kind, name, data)

    def drop(self, kind: str, name: str) -> None:
        """Forget a record."""
        self._change(kind, name, None)

    async def commit(self) -> None:
        """Wait until all changes so far are on the disk; UNAVAILABLE when the file cannot be written."""
        self.check()
        if self._db is None or not (self._writing or self._pending.changes):
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.waiters.append(done)
        self._schedule()
        await done

    def _change(self, kind: str, name: str, data: bytes | None) -> None:
        if self._db is None:
            return
        self._pending.changes[kind, name] = data
        self._schedule()

    def _schedule(self) -> None:
        # Not at once: the calls of one turn of the loop share a commit.
        if not self._scheduled and not self._writing:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._writing or not (self._pending.changes or self._pending.waiters):
            return
        batch, self._pending = self._pending, _Batch({}, [])
        self._writing = True
        self._queue.put(batch)

    def _written(self, batch: _Batch, failure: str | None) -> None:
        self._writing = False
        self._failure = self._failure or failure
        for waiter in batch.waiters:
            if waiter.done():
                continue
            if self._failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(ApiError(Code.UNAVAILABLE, self._failure))
        self._flush()

    def _write_all(self) -> None:
        db, loop = self._db, self._loop
        while db is not None and loop is not None and (batch := self._queue.get()) is not None:
            failure = self._write(db, batch)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._written, batch, failure)

    def _write(self, db: sqlite3.Connection, batch: _Batch) -> str | None:
        if self._failure is not None or not batch.changes:
            return self._failure
        try:
            db.execute("BEGIN")
            try:
                db.executemany(
                    _PUT, [(*key, data) for key, data in batch.changes.items() if data is not None]
                )
                db.executemany(_DROP, [key for key, data in batch.changes.items() if data is None])
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except Exception as error:  # noqa: BLE001 - told to everybody who waits, now and later
            _log.exception("state file %s cannot be written: the emulator accepts nothing more", self.path)
            return f"The state file {self.path} cannot be written: {error}; mend it and restart the emulator."
        return None
