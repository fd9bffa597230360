"""Commands of operators: cancel, remove, retry, promote, drain, clean, pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.base import CancelResult
from headway.brokers.sqlite import unique_locks
from headway.brokers.sqlite.file.schema import CANCELLED, EXPIRED, FAILED, READY, RUNNING, SCHEDULED, STATES
from headway.brokers.sqlite.records import Header
from headway.brokers.sqlite.transitions import Ending, delete, finish, make_ready
from headway.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import JobId, JobState

STEP: Final = 5000
"""Jobs removed in one transaction, so that other processes can write in between."""

IDS_STEP: Final = 1000
"""Named jobs that are changed in one transaction, for the same reason."""


_STATES: Final = dict(enumerate(STATES))  # a damaged row may hold anything


def cancel(tx: Transaction, ids: Sequence[JobId], reason: str) -> list[CancelResult]:
    """Cancel waiting jobs; ask the workers of running ones, which keeps the reason for when they stop."""
    headers = Header.by_id(tx, ids)
    results: list[CancelResult] = []
    for job_id in ids:
        header = headers.get(job_id)
        if header is not None and header.state in {SCHEDULED, READY}:
            finish(tx, [Ending(header, CANCELLED, reason)])
        elif header is not None and header.state == RUNNING:
            tx.db.execute("UPDATE job SET cancel = 1, reason = ? WHERE seq = ?", (reason, header.seq))
            if header.worker is not None:
                tx.db.execute(
                    "INSERT INTO signal (app, worker, job, at_ms) VALUES (?, ?, ?, ?)",
                    (tx.app, header.worker, job_id, tx.now),
                )
        results.append(CancelResult(job_id, None if header is None else _STATES.get(header.state)))
    return results


def remove(tx: Transaction, ids: Sequence[JobId]) -> list[bool]:
    """Remove jobs that do not run."""
    headers = Header.by_id(tx, ids)
    results: list[bool] = []
    for job_id in ids:
        header = headers.get(job_id)
        removable = header is not None and header.state != RUNNING
        if header is not None and removable:
            _remove(tx, [header])
            del headers[job_id]
        results.append(removable)
    return results


def _remove(tx: Transaction, headers: Sequence[Header]) -> None:
    delete(tx, headers)
    for header in headers:
        tx.event(EventKind.REMOVED, header.id, header.queue, header.epoch)


def retry(tx: Transaction, ids: Sequence[JobId]) -> list[bool]:
    """Give completed jobs a new life. An expiry that has passed is dropped: it would end the new life at once."""
    headers = Header.by_id(tx, ids)
    results: list[bool] = []
    for job_id in ids:
        header = headers.get(job_id)
        retried = header is not None and header.state in {FAILED, CANCELLED, EXPIRED}
        if header is not None and header.state == CANCELLED:
            retried = not _is_withdrawn(tx, header)
        results.append(retried)
        if header is None or not retried:
            continue
        tx.kept -= 0 if header.state == FAILED else 1
        tx.db.execute(
            "UPDATE job SET state = 1, pos = ?, since_ms = ?, attempt = 0, crashes = 0, cancel = 0, history = x'', "
            "result = x'', reason = '', progress = NULL, message = '', worker = NULL, "
            "started_ms = NULL, due_ms = NULL, expires_ms = CASE WHEN expires_ms > ? THEN expires_ms END WHERE seq = ?",
            (tx.next_place(), tx.now, tx.now, header.seq),
        )
        header.state = READY
        tx.wake += 1
        tx.event(EventKind.RETRIED, header.id, header.queue, header.epoch)
    return results


def _is_withdrawn(tx: Transaction, header: Header) -> bool:
    """Tell whether the job was withdrawn: it lives on another carrier."""
    (withdrawn,) = tx.db.execute("SELECT withdrawn FROM job WHERE seq = ?", (header.seq,)).fetchone()
    return withdrawn is not None


def promote(tx: Transaction, ids: Sequence[JobId]) -> list[bool]:
    """Make scheduled jobs ready, those held by a unique key included."""
    headers = Header.by_id(tx, ids)
    results: list[bool] = []
    for job_id in ids:
        header = headers.get(job_id)
        scheduled = header is not None and header.state == SCHEDULED
        results.append(scheduled)
        if header is None or not scheduled:
            continue
        if header.lock is not None:
            unique_locks.let_go(tx, header.id, header.lock)
        make_ready(tx, [(header.seq, tx.now)])
        header.state = READY
    return results


def last_seq(tx: Transaction) -> int:
    """Return the number of the newest row: jobs that come later are not part of a removal in several steps."""
    return int(tx.db.execute("SELECT coalesce(max(seq), 0) FROM job").fetchone()[0])


def drain(tx: Transaction, queue: str, until_seq: int) -> int:
    """Remove up to STEP waiting jobs of the queue; return how many."""
    rows = tx.db.execute(
        f"SELECT {Header.COLUMNS} FROM job INDEXED BY job_scheduled "  # noqa: S608 - a constant
        "WHERE app = ?1 AND state = 0 AND queue = ?2 AND seq <= ?3 LIMIT ?4",
        (tx.app, queue, until_seq, STEP),
    ).fetchall()
    rows += tx.db.execute(
        f"SELECT {Header.COLUMNS} FROM job INDEXED BY job_ready "  # noqa: S608 - a constant
        "WHERE app = ?1 AND state = 1 AND queue = ?2 AND seq <= ?3 LIMIT ?4",
        (tx.app, queue, until_seq, STEP - len(rows)),
    ).fetchall()
    _remove(tx, [Header(*row) for row in rows])
    return len(rows)


def clean(tx: Transaction, state: JobState, older_than_ms: int, queue: str | None, limit: int) -> int:
    """Remove up to `limit` jobs that completed more than `older_than_ms` ago, the oldest first; return how many."""
    rows = tx.db.execute(
        f"SELECT {Header.COLUMNS} FROM job INDEXED BY job_done "  # noqa: S608 - a constant
        "WHERE app = ?1 AND +state > 2 AND state = ?2 AND since_ms < ?3 AND (?4 IS NULL OR queue = "
        "?4) ORDER BY pos LIMIT ?5",
        (tx.app, STATES.index(state), tx.now - older_than_ms, queue, limit),
    ).fetchall()
    _remove(tx, [Header(*row) for row in rows])
    return len(rows)


def pause(tx: Transaction, queue: str) -> None:
    """Let no worker claim jobs of the queue."""
    tx.db.execute("INSERT INTO paused (app, queue) VALUES (?, ?) ON CONFLICT DO NOTHING", (tx.app, queue))


def resume(tx: Transaction, queue: str) -> None:
    """Let workers claim jobs of the queue again."""
    tx.wake += tx.db.execute("DELETE FROM paused WHERE app = ? AND queue = ?", (tx.app, queue)).rowcount
