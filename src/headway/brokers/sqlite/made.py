"""Schedules made at run time, in a table of their own; their last fires stand with those of the declared ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.base import KEPT_DELETED_MS, MadeSchedule
from headway.brokers.sqlite.records import DamagedRowError, want
from headway.service import Remarks

if TYPE_CHECKING:
    import sqlite3

    from headway.brokers.sqlite.file.transaction import Transaction

_NAMES: Final = ("name", "revision", "body", "last_fire_ms")
_KINDS: Final = (str, int, bytes, (int, type(None)))
_FORGET: Final = 100  # by one write


class MadeSchedules:
    """Reads and writes them; a row that is damaged is named once."""

    def __init__(self, path: str) -> None:
        self._remarks = Remarks(logging.getLogger("headway.sqlite"), path)

    def read(self, db: sqlite3.Connection, app: int) -> list[MadeSchedule]:
        """Return all, sorted by name."""
        rows = db.execute(
            "SELECT made.name, made.revision, made.body, schedule.last_fire_ms FROM made_schedule AS made "
            "LEFT JOIN schedule ON schedule.app = made.app AND schedule.name = made.name WHERE made.app = ? "
            "ORDER BY made.name",
            (app,),
        )
        found: list[MadeSchedule] = []
        for row in rows:
            entry = f"schedule {row[0]!a}"
            try:
                want(row, _NAMES, _KINDS)
            except DamagedRowError as error:
                self._remarks.say(entry, f"is left out: {error}")
            else:
                self._remarks.well(entry)
                found.append(MadeSchedule(*row))
        return found

    def write(self, tx: Transaction, made: MadeSchedule, expected: int) -> bool:
        """Keep it where the expected revision stands."""
        row = tx.db.execute(
            "SELECT revision, body FROM made_schedule WHERE app = ? AND name = ?", (tx.app, made.name)
        ).fetchone()
        if row == (made.revision, made.body):
            return True
        there = 0 if row is None or not isinstance(row[0], int) else row[0]  # a damaged one may be replaced
        if there != expected:
            return False
        tx.db.execute(
            "INSERT INTO made_schedule (app, name, revision, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (app, name) DO UPDATE SET revision = excluded.revision, body = excluded.body",
            (tx.app, made.name, made.revision, made.body),
        )
        _forget(tx)
        return True


def _forget(tx: Transaction) -> None:
    """Forget what is left of those that were deleted long ago, and their last fires."""
    gone = [
        (tx.app, name)
        for (name,) in tx.db.execute(
            "SELECT name FROM made_schedule WHERE app = ? AND length(body) = 0 AND revision < ? LIMIT ?",
            (tx.app, tx.now - KEPT_DELETED_MS, _FORGET),
        )
    ]
    tx.db.executemany("DELETE FROM schedule WHERE app = ? AND name = ? AND declared = 0", gone)
    tx.db.executemany("DELETE FROM made_schedule WHERE app = ? AND name = ?", gone)
