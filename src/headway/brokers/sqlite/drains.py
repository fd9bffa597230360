"""Requests to drain a worker: a signal tells it, and a row is left for one that does not listen when the signal comes.

What a worker finds when it begins to listen was meant for an earlier one of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.sqlite import inspect

if TYPE_CHECKING:
    import sqlite3

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import WorkerId

SIGNAL: Final = ""
"""The job that a signal names which asks for a drain: no job has this id."""
_KEPT_MS: Final = 24 * 3600 * 1000  # far longer than any drain; for workers that die with their supervisor


def ask(tx: Transaction, worker: WorkerId) -> bool:
    """Ask a worker to drain; false: there is none of this name."""
    if all(one.id != worker for one in inspect.workers_at(tx.db, tx.app, tx.now, tx.tick)):
        return False
    tx.db.execute("DELETE FROM drain WHERE app = ? AND at_ms < ?", (tx.app, tx.now - _KEPT_MS))
    tx.db.execute(
        "INSERT INTO drain (app, worker, at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (tx.app, worker, tx.now),
    )
    tx.db.execute(
        "INSERT INTO signal (app, worker, job, at_ms) VALUES (?, ?, ?, ?)", (tx.app, worker, SIGNAL, tx.now)
    )
    return True


def is_asked(db: sqlite3.Connection, app: int, worker: WorkerId) -> bool:
    """Tell whether a worker was asked."""
    row = db.execute("SELECT 1 FROM drain WHERE app = ? AND worker = ?", (app, worker)).fetchone()
    return row is not None


def forget(tx: Transaction, worker: WorkerId) -> None:
    """Drop what was asked of a worker that is gone, or of an earlier one of this name."""
    tx.db.execute("DELETE FROM drain WHERE app = ? AND worker = ?", (tx.app, worker))
