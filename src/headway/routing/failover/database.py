"""The open database of a spool: its transactions, and what becomes of it when the file is taken away meanwhile."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headway.errors import ConfigError, SpoolError
from headway.routing.failover.schema import BUSY_S, connect
from headway.routing.failover.turn import Turn
from headway.storage.sqlite.identity import FileCheck, Holder, clear_leftovers

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_log = logging.getLogger("headway.spool")


class Database:
    """One open spool, for one thread at a time. Each method may raise SpoolError, which says what is wrong."""

    def __init__(self, path: Path, app: str) -> None:
        self.path = path.absolute()
        self.openings = 0
        """How often the file was opened: once, and again each time that it was lost."""
        self._app = app
        self._db: sqlite3.Connection | None = None
        self._check: FileCheck | None = None
        self._turn: Turn | None = None

    def open(self) -> None:
        """Open or make the file; ConfigError."""
        if self._db is None:
            clear_leftovers(self.path)
            self._db = connect(self.path, self._app)
            self._check = FileCheck(self.path)
            self._turn = Turn(self.path)
            self.openings += 1

    def close(self) -> None:
        """Close it."""
        db, self._db = self._db, None
        if db is not None:
            db.close()
        if self._turn is not None:
            self._turn.close()
            self._turn = None

    def check(self) -> None:
        """Make sure that the file is the one that the path names: else others put jobs where this process looks not."""
        self._usable()

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Read."""
        db = self._usable()
        try:
            yield db
        except sqlite3.Error as error:
            raise self._failed(error) from error

    @contextmanager
    def transaction(self, *, of_jobs: bool = True) -> Generator[sqlite3.Connection]:
        """Write; `of_jobs`: others are to look which queues hold any."""
        db = self._usable()
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.rollback()
                raise
            db.execute("COMMIT")
            if of_jobs and self._turn is not None:
                self._turn.give()
        except sqlite3.Error as error:
            if db.in_transaction:
                db.rollback()
            raise self._failed(error) from error

    def _usable(self) -> sqlite3.Connection:
        """Return the connection, to the file that the path names now."""
        db, check = self._db, self._check
        if db is None or check is None:
            msg = f"spool {self.path} is not open"
            raise SpoolError(msg)
        try:
            return db if check.loss(now=True) is None else self._renewed(db, check)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _renewed(self, db: sqlite3.Connection, check: FileCheck) -> sqlite3.Connection:
        """Make the file anew that was removed or replaced while it was open, with what it held: this process has it."""
        loss = check.loss(now=True)
        # Another process may have brought some of them home meanwhile, so they count as handed over.
        rows = db.execute(
            "SELECT id, carrier, queue, body, since_ms, coalesce(tried_ms, ?), parked, cancelled FROM job ORDER BY seq",
            (round(time.time() * 1000),),
        ).fetchall()
        if loss is not None and loss.whole:
            check.identity.clear_away()
            fresh, turn = self._made_anew(rows)  # first: until it has them, the old connection alone does
            db.close()
        else:
            superseded = check.identity.superseded
            if not superseded:
                check.identity.save_log(db)
            holder = Holder(self.path) if superseded else None
            db.close()
            self._db = None
            if holder is not None:
                holder.end()
            fresh, turn = self._made_anew(rows)
        if self._turn is not None:
            self._turn.close()
        self._db, self._turn = fresh, turn
        self._check = FileCheck(self.path)
        self.openings += 1
        turn.give()
        said = "it was lost" if loss is None else loss.said
        _log.error(
            "spool %s: %s; it was made anew with the %d jobs that it held: leave it alone while processes have it open",
            self.path,
            said,
            len(rows),
        )
        return fresh

    def _made_anew(self, rows: list[tuple[object, ...]]) -> tuple[sqlite3.Connection, Turn]:
        """Open what the path names, made where there is nothing, and put these jobs in; SpoolError."""
        try:
            turn = Turn(self.path)
            db = connect(self.path, self._app)
        except ConfigError as error:
            raise SpoolError(str(error)) from error
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT INTO job (id, carrier, queue, body, since_ms, tried_ms, parked, cancelled) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET tried_ms = coalesce(tried_ms, excluded.tried_ms), "
                "cancelled = coalesce(cancelled, excluded.cancelled)",
                rows,
            )
            db.execute("COMMIT")
        except BaseException:
            db.close()
            turn.close()
            raise
        return db, turn

    def _failed(self, error: sqlite3.Error) -> SpoolError:
        text = str(error)
        if "full" in text:
            why = "the disk is full"
        elif "locked" in text or "busy" in text:
            why = f"another process has kept it locked for {BUSY_S:g} s"
        elif "readonly" in text:
            why = "it cannot be written: check who owns it and its folder"
        elif "disk I/O" in text:
            why = f"the disk does not take it ({text}): look at its space, its quota, and whether it is sound"
        elif "malformed" in text or "not a database" in text:
            why = f"it is damaged ({text}): move it away, keep it, and start the processes of this host again"
        else:
            why = text
        return SpoolError(f"spool {self.path}: {why}")
