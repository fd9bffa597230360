"""Damaged values, written by other programs: found by their type, set aside or put right, and logged.

SQLite keeps a value of any type in any column. One that sorts behind all numbers is never due: so each round of
maintenance looks behind them, which costs a step in an index.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.sqlite.file.ticks import boot
from headway.brokers.sqlite.records import Header
from headway.brokers.sqlite.transitions import finish, set_aside, take_back
from headway.events import EventKind

if TYPE_CHECKING:
    from headway.brokers.sqlite.file.transaction import Transaction

_log: Final = logging.getLogger("headway.sqlite")

_STEP: Final = 100  # jobs in one round
_LEASE_MS: Final = 60_000
_LONGEST_LEASE_MS: Final = 366 * 24 * 3600 * 1000

# Text and blobs come behind all numbers: a look at the end of an index finds them.
_DAMAGED: Final = (
    ("due_ms", "job_scheduled", "state = 0 AND due_ms >= ''"),
    ("expires_ms", "job_expiring", "expires_ms IS NOT NULL AND state < 2 AND expires_ms >= ''"),
    ("state", "job_done", "+state > 2 AND state > 6"),
    ("worker", "job_running", "state = 2 AND worker IS NULL"),
    ("worker", "job_running", "state = 2 AND worker >= x''"),
)


def mend(tx: Transaction) -> int:
    """Set jobs aside that would wait for ever, and put leases right that would never end; return how many."""
    mended = 0
    for column, index, condition in _DAMAGED:
        rows = tx.db.execute(
            f"SELECT {Header.COLUMNS} FROM job INDEXED BY {index} "  # noqa: S608 - constants
            f"WHERE app = ? AND {condition} LIMIT ?",
            (tx.app, _STEP),
        ).fetchall()
        said = f"its stored record is damaged: column {column} holds what it cannot"
        finish(tx, [set_aside(Header.sound(row)[0], said) for row in rows])
        mended += len(rows)
    abandoned = tx.db.execute(
        "SELECT DISTINCT worker FROM job INDEXED BY job_running WHERE app = ?1 AND state = 2 "
        "AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.app = ?1 AND lease.worker = job.worker)",
        (tx.app,),
    ).fetchall()
    for (worker,) in abandoned:
        _log.error("worker %a has no lease for the jobs that it runs: they are taken back", worker)
        mended += take_back(tx, worker, None, EventKind.RECLAIMED)
    leases = tx.db.execute(
        "DELETE FROM lease WHERE app = ? AND (until_ms >= '' OR until_ms > ?) RETURNING worker",
        (tx.app, tx.now + _LONGEST_LEASE_MS),
    ).fetchall()
    for (worker,) in leases:
        _log.error("the lease of worker %a is damaged: it begins anew", worker)
        # A living worker renews it; otherwise it runs out.
        tx.db.execute(
            "INSERT INTO lease (app, worker, until_ms, boot) VALUES (?, ?, ?, ?)",
            (tx.app, worker, tx.tick + _LEASE_MS, boot()),
        )
    return mended + len(leases)
