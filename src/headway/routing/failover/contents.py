"""What a spool holds, as it stands in its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.routing.failover.entries import Contents, LaneDepth, SeenBreaker

if TYPE_CHECKING:
    import sqlite3

BREAKER_SEEN_MS: Final = 15_000
"""A process that has not told of its breaker for so long has ended."""


def read_contents(db: sqlite3.Connection, now_ms: int) -> Contents:
    """Return what a spool holds."""
    rows = db.execute(
        "SELECT carrier, queue, parked, jobs, size FROM lane ORDER BY carrier, queue"
    ).fetchall()
    oldest = db.execute("SELECT since_ms FROM job WHERE parked = '' ORDER BY seq LIMIT 1").fetchone()
    flushed = db.execute("SELECT flushed FROM about").fetchone()
    breakers = db.execute(
        "SELECT carrier, pid, state, since_ms, seen_ms, why FROM breaker WHERE seen_ms >= ? ORDER BY carrier, pid",
        (now_ms - BREAKER_SEEN_MS,),
    ).fetchall()
    return Contents(
        lanes=tuple(
            LaneDepth(carrier, queue, jobs, size) for carrier, queue, parked, jobs, size in rows if not parked
        ),
        oldest_ms=None if oldest is None else oldest[0],
        parked=sum(jobs for _, _, parked, jobs, _ in rows if parked),
        size=sum(row[4] for row in rows),
        jobs=sum(row[3] for row in rows),
        flushed=0 if flushed is None else flushed[0],
        breakers=tuple(SeenBreaker(*row) for row in breakers),
    )
