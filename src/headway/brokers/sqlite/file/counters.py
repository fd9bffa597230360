"""The counters of an app in the file, as a transaction reads them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

_log: Final = logging.getLogger("headway.sqlite")

COUNTERS: Final = (
    "SELECT tail, head, wake, gone, kept, watched_until_ms, stalled_from_ms, stalled_to_ms, spared_until_ms "
    "FROM app WHERE id = ?"
)


def counted_anew(db: sqlite3.Connection, app: int) -> tuple[int, ...]:
    """Put the counters of an app right from its jobs; return them as a transaction reads them."""
    _log.error("the counters of app %d in the file are damaged: they are counted anew", app)
    now = time.time_ns() // 1_000_000  # higher than any count before, so that workers and waiters look again
    db.execute(
        "UPDATE app SET wake = ?1, gone = ?1, watched_until_ms = 0, stalled_from_ms = 0, stalled_to_ms = 0, "
        "spared_until_ms = 0, "
        "tail = (SELECT coalesce(max(pos), 0) FROM job WHERE app = ?2 AND typeof(pos) = 'integer'), "
        "head = (SELECT min(0, coalesce(min(pos), 0)) FROM job WHERE app = ?2 AND typeof(pos) = 'integer'), "
        "kept = (SELECT count(*) FROM job WHERE app = ?2 AND state IN (3, 5, 6) AND withdrawn IS NULL) WHERE id = ?2",
        (now, app),
    )
    row: tuple[int, ...] = db.execute(COUNTERS, (app,)).fetchone()
    return row
