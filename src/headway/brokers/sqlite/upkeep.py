"""Maintenance: due jobs become ready, overdue ones expire, jobs of dead workers are reclaimed, records pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import Tended
from headway.brokers.sqlite.figures import expire
from headway.brokers.sqlite.file.schema import CANCELLED, EXPIRED, FAILED, RUNNING, SUCCEEDED
from headway.brokers.sqlite.file.ticks import OF_CLOCK, boot
from headway.brokers.sqlite.mend import mend
from headway.brokers.sqlite.records import Header
from headway.brokers.sqlite.transitions import Ending, delete, finish, make_ready, take_back
from headway.events import EventKind
from headway.job import WorkerId

if TYPE_CHECKING:
    from headway.brokers.base import Retention
    from headway.brokers.sqlite.file.transaction import Transaction

# Bounds of one call, so that it does not keep other processes from writing for seconds; the rest follows at once.
_STEP: Final = 10_000
_PRUNE: Final = 1000

_SPARED_MS: Final = 60_000  # the cap on completed jobs spares those that somebody may still be waiting for
_WITHDRAWN_MS: Final = 3600_000  # a withdrawn job is kept so long at least: its move may be interrupted
_SIGNALS_KEPT_MS: Final = 600_000
_EVENTS_KEPT: Final = 100_000
_FIRES_KEPT_MS: Final = 366 * 24 * 3600 * 1000  # of schedules that are not declared any more


class Advanced(Struct, frozen=True):
    """How many jobs became ready, expired, and were taken back."""

    promoted: int
    expired: int
    reclaimed: int


def advance(tx: Transaction) -> Advanced:
    """Apply what is due now: ready times, expiries, ends of leases."""
    reclaimed = _reclaim(tx)
    expired = _expire(tx)
    due: list[tuple[int, int]] = tx.db.execute(
        "SELECT seq, due_ms FROM job INDEXED BY job_scheduled WHERE app = ? AND state = 0 AND due_ms <= ? "
        "ORDER BY due_ms, seq LIMIT ?",
        (tx.app, tx.now, _STEP),
    ).fetchall()
    make_ready(tx, due)
    return Advanced(len(due), expired, reclaimed)


def _expire(tx: Transaction) -> int:
    count = 0
    while count < _STEP:
        # The end of a job may free another that is overdue as well: look until there is none.
        rows = tx.db.execute(
            f"SELECT {Header.COLUMNS} FROM job INDEXED BY job_expiring "  # noqa: S608 - a constant
            "WHERE app = ? AND expires_ms IS NOT NULL AND state < 2 AND expires_ms <= ? ORDER BY expires_ms LIMIT 1000",
            (tx.app, tx.now),
        ).fetchall()
        if not rows:
            break
        finish(tx, [Ending(Header.sound(row)[0], EXPIRED) for row in rows])
        count += len(rows)
    return count


def _reclaim(tx: Transaction) -> int:
    count = 0
    for worker, until_ms in tx.db.execute(
        "SELECT worker, until_ms FROM lease WHERE app = ?1 AND CASE WHEN until_ms < ?2 "
        "THEN until_ms <= ?3 OR boot != ?4 ELSE until_ms <= ?5 END",
        (tx.app, OF_CLOCK, tx.tick, boot(), tx.now),
    ).fetchall():
        if tx.stall.spares(until_ms):
            continue
        count += take_back(tx, WorkerId(worker), None, EventKind.RECLAIMED)
        tx.db.execute("INSERT INTO signal (app, worker, at_ms) VALUES (?, ?, ?)", (tx.app, worker, tx.now))
    return count


def next_in_ms(tx: Transaction, worker: str = "") -> int | None:
    """In how many ms the next job is due, the next waiting one expires, or the lease of another worker ends."""
    row = tx.db.execute(
        "SELECT (SELECT due_ms FROM job INDEXED BY job_scheduled "
        "WHERE app = ?1 AND state = 0 AND due_ms IS NOT NULL ORDER BY due_ms LIMIT 1), "
        "(SELECT expires_ms FROM job INDEXED BY job_expiring "
        "WHERE app = ?1 AND expires_ms IS NOT NULL AND state < 2 ORDER BY expires_ms LIMIT 1), "
        "(SELECT min(until_ms - CASE WHEN until_ms < ?3 THEN ?4 ELSE ?5 END) FROM lease "
        "WHERE app = ?1 AND worker != ?2)",
        (tx.app, worker, OF_CLOCK, tx.tick, tx.now),
    ).fetchone()
    due, expiry, lease = row
    waits = [instant - tx.now for instant in (due, expiry) if isinstance(instant, int)]
    if lease is not None:
        waits.append(int(lease) if lease > 0 else tx.stall.left_ms)  # spared for now
    return max(0, min(waits)) if waits else None


def tend(tx: Transaction) -> Tended:
    """One round of maintenance, bounded."""
    mended = mend(tx)
    advanced = advance(tx)
    pruned = _prune(tx)
    tx.db.execute(
        "DELETE FROM lock WHERE app = ?1 AND until_ms <= ?2 AND NOT EXISTS "
        "(SELECT 1 FROM job WHERE app = ?1 AND id = holder AND job.lock = lock.name)",
        (tx.app, tx.now),
    )
    tx.db.execute(
        "DELETE FROM signal WHERE app = ? AND (at_ms < ? OR at_ms >= '')", (tx.app, tx.now - _SIGNALS_KEPT_MS)
    )
    tx.db.execute(
        "DELETE FROM schedule WHERE app = ? AND declared = 0 AND (last_fire_ms IS NULL OR last_fire_ms < ?)",
        (tx.app, tx.now - _FIRES_KEPT_MS),
    )
    expire(tx)
    tx.db.execute("DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?", (_EVENTS_KEPT,))
    return Tended(
        promoted=advanced.promoted,
        expired=advanced.expired,
        reclaimed=advanced.reclaimed,
        pruned=pruned,
        mended=mended,
        next_in_ms=0 if pruned >= _PRUNE else _earlier(next_in_ms(tx), _next_prune_in_ms(tx)),
    )


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((instant for instant in (one, other) if instant is not None), default=None)


def _next_prune_in_ms(tx: Transaction) -> int | None:
    """In how many ms the first of the records kept is old enough."""
    retention = tx.settings.retention
    first: int | None = None
    for state in (SUCCEEDED, FAILED, CANCELLED, EXPIRED):
        keep_ms = retention.failed_ms if state == FAILED else retention.succeeded_ms
        oldest = _oldest_end(tx, state)
        if oldest is None:
            continue
        end, withdrawn = oldest
        if withdrawn:  # those behind it may go before it does
            first = _earlier(first, min(end + max(keep_ms, _WITHDRAWN_MS), tx.now + max(keep_ms, _SPARED_MS)))
            continue
        if state != FAILED and tx.kept > retention.max_succeeded:
            keep_ms = min(keep_ms, _SPARED_MS)
        first = _earlier(first, end + keep_ms)
    return None if first is None else max(0, first - tx.now)


def _oldest_end(tx: Transaction, state: int) -> tuple[int, bool] | None:
    """Return when the first of the jobs in this state completed, and whether it was withdrawn: then no cap applies."""
    row = tx.db.execute(
        "SELECT since_ms, withdrawn IS NOT NULL FROM job INDEXED BY job_done WHERE app = ? AND +state > 2 "
        "AND state = ? ORDER BY pos LIMIT 1",
        (tx.app, state),
    ).fetchone()
    return None if row is None or not isinstance(row[0], int) else (row[0], bool(row[1]))


def is_old(retention: Retention, now_ms: int, state: int, since_ms: object) -> bool:
    """Tell whether the record of a job that is complete since then is kept no longer."""
    if state <= RUNNING:
        return False
    if not isinstance(since_ms, int):
        return True  # damaged, and complete: nothing else could ever prune it
    return since_ms <= now_ms - (retention.failed_ms if state == FAILED else retention.succeeded_ms)


def _prune(tx: Transaction) -> int:
    retention = tx.settings.retention
    old: list[Header] = []
    for state in (SUCCEEDED, CANCELLED, EXPIRED):
        old += _finished_until(tx, state, tx.now - retention.succeeded_ms, _PRUNE - len(old))
    old += _finished_until(tx, FAILED, tx.now - retention.failed_ms, _PRUNE - len(old))
    delete(tx, old)
    surplus = min(tx.kept - retention.max_succeeded, _PRUNE - len(old))
    if surplus <= 0:
        return len(old)
    rows = tx.db.execute(
        "SELECT seq, since_ms FROM ("
        "SELECT * FROM (SELECT seq, pos, since_ms FROM job WHERE app = ?1 AND +state > 2 AND state = "
        "3 ORDER BY pos LIMIT ?2)"
        " UNION ALL "
        "SELECT seq, pos, since_ms FROM (SELECT seq, pos, since_ms, withdrawn FROM job WHERE app = ?1 AND +state > 2 "
        "AND state = 5 ORDER BY pos LIMIT ?2 + ?3) WHERE withdrawn IS NULL"
        " UNION ALL "
        "SELECT * FROM (SELECT seq, pos, since_ms FROM job WHERE app = ?1 AND +state > 2 AND state = "
        "6 ORDER BY pos LIMIT ?2)"
        ") ORDER BY pos LIMIT ?2",
        (tx.app, surplus, _PRUNE),
    ).fetchall()
    beyond = [
        _header(tx, seq)
        for seq, since_ms in rows
        if not isinstance(since_ms, int) or since_ms <= tx.now - _SPARED_MS
    ]
    delete(tx, beyond)
    return len(old) + len(beyond)


def _header(tx: Transaction, seq: int) -> Header:
    statement = f"SELECT {Header.COLUMNS} FROM job WHERE seq = ?"  # noqa: S608 - a constant
    return Header(*tx.db.execute(statement, (seq,)).fetchone())


def _finished_until(tx: Transaction, state: int, until_ms: int, limit: int) -> list[Header]:
    """The first to complete come first, so that the walk ends at the first one that is young enough."""
    rows = tx.db.execute(
        f"SELECT {Header.COLUMNS}, withdrawn IS NOT NULL, since_ms FROM job INDEXED BY job_done "  # noqa: S608 - a constant
        "WHERE app = ? AND +state > 2 AND state = ? ORDER BY pos LIMIT ?",
        (tx.app, state, max(0, limit)),
    )
    old: list[Header] = []
    for row in rows:
        if isinstance(row[-1], int) and row[-1] > until_ms:
            break
        withdrawn, since_ms = row[-2:]
        if withdrawn and isinstance(since_ms, int) and since_ms > tx.now - _WITHDRAWN_MS:
            continue
        old.append(Header(*row[:-2]))
    rows.close()
    return old
