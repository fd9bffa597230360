"""The statements behind signals, events and waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.sqlite.file.ticks import machine_ms
from headway.brokers.sqlite.records import Header
from headway.errors import ConfigError
from headway.events import Event, EventKind
from headway.job import JobId, WorkerId

if TYPE_CHECKING:
    import sqlite3

    from headway.brokers.sqlite.file.transaction import Transaction

WATCH_MS: Final = 30_000
"""How long the presence of an event iterator counts; it is renewed three times in that time."""

_KINDS: Final = {kind.value: kind for kind in EventKind}


def watch(tx: Transaction) -> int:
    """Note that somebody watches events; return the number of the last event."""
    until = machine_ms() + WATCH_MS
    tx.db.execute("UPDATE app SET watched_until_ms = ? WHERE id = ?", (until, tx.app))
    tx.recording = True
    return last_number(tx.db, "event")


def last_signal(tx: Transaction) -> int:
    """Return the number of the last signal."""
    return last_number(tx.db, "signal")


def last_number(db: sqlite3.Connection, table: str) -> int:
    """Return the last number given out in a table, also when its row is gone."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return row[0] if row is not None and isinstance(row[0], int) else 0


def cancellations(db: sqlite3.Connection, app: int, worker: WorkerId) -> list[JobId]:
    """Return the jobs that the worker runs and was asked to cancel."""
    rows = db.execute(
        "SELECT id FROM job INDEXED BY job_running WHERE app = ? AND state = 2 AND worker = ? AND cancel = 1",
        (app, worker),
    )
    return [JobId(job_id) for (job_id,) in rows]


def events_since(db: sqlite3.Connection, app: int, since: int, limit: int) -> list[Event]:
    """Return events behind a number, oldest first; kinds of a newer Headway are left out."""
    rows = db.execute(
        "SELECT seq, kind, job, at_ms, queue, epoch, worker FROM event WHERE seq > ? AND app = ? ORDER BY seq LIMIT ?",
        (since, app, limit),
    )
    return [
        Event(
            str(seq),
            _KINDS[kind],
            JobId(job),
            at_ms,
            queue,
            epoch,
            None if worker is None else WorkerId(worker),
        )
        for seq, kind, job, at_ms, queue, epoch, worker in rows
        if kind in _KINDS
        and all(isinstance(text, str) for text in (job, queue, worker or ""))
        and all(isinstance(number, int) for number in (at_ms, epoch))
    ]


def event_number(cursor: str) -> int:
    """Read a cursor of `events`; ConfigError when it is none."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 19):  # noqa: PLR2004 - digits of a 64-bit number
        msg = f"{cursor!r} is not a cursor of events: give back the cursor of an event"
        raise ConfigError(msg)
    return min(int(cursor), 2**63 - 1)


def ended(db: sqlite3.Connection, app: int, ids: list[str]) -> list[str]:
    """Return those of the jobs that are terminal or not known."""
    rows = db.execute(
        "SELECT wanted.value FROM json_each(?) AS wanted LEFT JOIN job ON job.app = ? AND job.id = wanted.value "
        "WHERE job.state IS NULL OR job.state > 2",
        (Header.id_list(ids), app),
    )
    return [job_id for (job_id,) in rows]
