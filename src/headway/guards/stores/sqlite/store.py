"""Entries in a SQLite file, for receivers on one machine: all of them may open it at once.

All calls go to one thread with one connection. The write-ahead log is synchronised as SQLite's NORMAL does it: a crash
of any process loses nothing, a power cut may lose the last swaps; `?synchronous=full` closes that gap.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from headway.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError
from headway.guards.base import Entry, EntryPage
from headway.guards.stores.sqlite.file import OpenFile, parse, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
_Row = tuple[str, int, str, str, int, "int | None", bytes]

_PRUNE_BY_THE_WAY: Final = 10  # entries
_KEYS_AT_ONCE: Final = 500  # SQLite's oldest limit of parameters is 999
_COLUMNS: Final = "key, version, grp, tag, changed_ms, forget_ms, data"
_ALIVE: Final = "(forget_ms IS NULL OR forget_ms > ?)"


class SqliteStore:
    """A GuardStore in the file of a `sqlite:///` URL; several apps may share it."""

    def __init__(self, url: str, *, namespace: str) -> None:
        """ConfigError names what is wrong with the URL."""
        self._place = parse(url)
        self._app = namespace
        self._commands = 0
        self._opening = asyncio.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._file: OpenFile | None = None

    @property
    def commands(self) -> int:
        """How many operations were asked of the file."""
        return self._commands

    async def open(self) -> None:
        """Open the file; create it when it is not there."""
        async with self._opening:
            if self._thread is not None:
                return
            thread = ThreadPoolExecutor(1, thread_name_prefix="headway-guard")
            try:
                self._file = await self._on(thread, partial(OpenFile, self._place))
            except BaseException:
                thread.shutdown(wait=False)
                raise
            self._thread = thread

    async def close(self) -> None:
        """Close the file, after the calls under way."""
        async with self._opening:
            thread, file, self._thread, self._file = self._thread, self._file, None, None
            if thread is not None and file is not None:
                await self._on(thread, file.close)
                thread.shutdown(wait=False)

    async def clock_ms(self) -> int | None:
        """See GuardStore."""
        return None

    async def insert(self, entry: Entry, *, now_ms: int) -> Entry | None:
        """See GuardStore."""

        def insert(db: sqlite3.Connection) -> Entry | None:
            self._forget(db, now_ms, _PRUNE_BY_THE_WAY)
            there = self._find(db, entry.key)
            if there is not None and (there.forget_ms is None or there.forget_ms > now_ms):
                return there
            marks = ", ".join("?" * 8)
            db.execute(
                f"INSERT OR REPLACE INTO guard (app, {_COLUMNS}) VALUES ({marks})",  # noqa: S608 - constants
                (self._app, *_row(entry)),
            )
            return None

        return await self._write(insert)

    async def swap(self, entry: Entry, *, now_ms: int) -> bool:
        """See GuardStore."""

        def swap(db: sqlite3.Connection) -> bool:
            there = self._find(db, entry.key)
            if there == entry:
                return True  # it was applied, and its answer was lost
            self._forget(db, now_ms, _PRUNE_BY_THE_WAY)
            changed = db.execute(
                "UPDATE guard SET version = ?, grp = ?, tag = ?, changed_ms = ?, forget_ms = ?, data = ?"  # noqa: S608 - constants
                f" WHERE app = ? AND key = ? AND version = ? AND {_ALIVE}",
                (*_row(entry)[1:], self._app, entry.key, entry.version - 1, now_ms),
            )
            return changed.rowcount == 1

        return await self._write(swap)

    async def delete(self, key: str, version: int) -> bool:
        """See GuardStore."""

        def delete(db: sqlite3.Connection) -> bool:
            gone = db.execute(
                "DELETE FROM guard WHERE app = ? AND key = ? AND version = ?", (self._app, key, version)
            )
            return gone.rowcount == 1

        return await self._write(delete)

    async def read(self, keys: Sequence[str], *, now_ms: int) -> list[Entry | None]:
        """See GuardStore."""

        def read(db: sqlite3.Connection) -> list[Entry | None]:
            found: dict[str, Entry] = {}
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[start : start + _KEYS_AT_ONCE]
                rows: list[_Row] = db.execute(
                    f"SELECT {_COLUMNS} FROM guard"  # noqa: S608 - constants
                    f" WHERE app = ? AND key IN ({', '.join('?' * len(some))}) AND {_ALIVE}",
                    (self._app, *some, now_ms),
                ).fetchall()
                found.update((row[0], Entry(*row)) for row in rows)
            return [found.get(key) for key in keys]

        return await self._run(read)

    async def page(
        self,
        *,
        groups: Sequence[str] | None,
        tags: Sequence[str] | None,
        after: str | None,
        limit: int,
        now_ms: int,
    ) -> EntryPage:
        """See GuardStore."""
        conditions = ["app = ?", _ALIVE]
        values: list[str | int] = [self._app, now_ms]
        if after is not None:
            conditions.append("key < ?")
            values.append(after)
        for column, wanted in (("grp", groups), ("tag", tags)):
            if wanted is not None:
                conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
                values.extend(wanted)
            elif column == "grp":
                conditions.append("substr(grp, 1, 1) <> ':'")
        query = f"SELECT {_COLUMNS} FROM guard WHERE {' AND '.join(conditions)} ORDER BY key DESC LIMIT ?"  # noqa: S608 - as above

        def page(db: sqlite3.Connection) -> EntryPage:
            rows: list[_Row] = db.execute(query, (*values, limit + 1)).fetchall()
            entries = [Entry(*row) for row in rows[:limit]]
            return EntryPage(entries, entries[-1].key if len(rows) > limit else None)

        return await self._run(page)

    async def counts(self, *, now_ms: int) -> dict[tuple[str, str], int]:
        """See GuardStore."""

        def counts(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
            rows: list[tuple[str, str, int]] = db.execute(
                f"SELECT grp, tag, count(*) FROM guard WHERE app = ? AND {_ALIVE} GROUP BY grp, tag",  # noqa: S608 - as above
                (self._app, now_ms),
            ).fetchall()
            return {(group, tag): count for group, tag, count in rows if not group.startswith(":")}

        return await self._run(counts)

    async def prune(self, *, now_ms: int, limit: int = 1000) -> int:
        """See GuardStore."""
        return await self._write(lambda db: self._forget(db, now_ms, limit))

    def _find(self, db: sqlite3.Connection, key: str) -> Entry | None:
        row: _Row | None = db.execute(
            f"SELECT {_COLUMNS} FROM guard WHERE app = ? AND key = ?",  # noqa: S608 - constants
            (self._app, key),
        ).fetchone()
        return None if row is None else Entry(*row)

    def _forget(self, db: sqlite3.Connection, now_ms: int, limit: int) -> int:
        return db.execute(
            "DELETE FROM guard WHERE rowid IN"
            " (SELECT rowid FROM guard WHERE app = ? AND forget_ms <= ? ORDER BY forget_ms LIMIT ?)",
            (self._app, now_ms, limit),
        ).rowcount

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        file = self._opened

        def transaction(db: sqlite3.Connection) -> T:
            db.execute("BEGIN IMMEDIATE")
            try:
                answer = work(db)
                file.verify()
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return answer

        return await self._run(transaction)

    @property
    def _opened(self) -> OpenFile:
        if self._file is None:
            msg = f"{self._place.name} is not open: open it before you use it"
            raise BrokerUnavailableError(msg)
        return self._file

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        file = self._opened
        self._commands += 1
        return await self._on(self._thread, lambda: work(file.connection()))

    async def _on(self, thread: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except sqlite3.Error as error:
            raise translate(error, self._place) from error
        except BrokerError:
            raise
        except OSError as error:
            msg = f"{self._place.name}: {error}"
            raise BrokerUnavailableError(msg) from error
        except (OverflowError, UnicodeEncodeError) as error:
            msg = f"{self._place.name}: a value cannot be stored: {error}"
            raise BrokerRefusedError(msg) from error


def _row(entry: Entry) -> _Row:
    return (
        entry.key,
        entry.version,
        entry.group,
        entry.tag,
        entry.changed_ms,
        entry.forget_ms,
        entry.data,
    )
