"""Unique keys: which job holds one, which waits for it, and which follows when it is freed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.sqlite.file.schema import READY, SCHEDULED
from headway.brokers.sqlite.records import DamagedRowError, Header, want
from headway.job import JobId

if TYPE_CHECKING:
    from headway.brokers.sqlite.file.transaction import Transaction


_log: Final = logging.getLogger("headway.sqlite")


class Lock(Struct, frozen=True):
    """`since_ms` is the holder's enqueue; `until_ms` is how long a throttle remembers a holder that is done."""

    holder: JobId
    since_ms: int
    until_ms: int
    held: JobId | None
    held_due_ms: int | None


_NONE: Final = type(None)
_KINDS: Final = (str, int, int, (str, _NONE), (int, _NONE))


def read(tx: Transaction, name: str) -> Lock | None:
    """Return the lock of the key: its holder, and the job that waits for it."""
    row = tx.db.execute(
        "SELECT holder, since_ms, until_ms, held, held_due_ms FROM lock WHERE app = ? AND name = ?",
        (tx.app, name),
    ).fetchone()
    if row is None:
        return None
    try:
        want(row, Lock.__struct_fields__, _KINDS)
    except DamagedRowError as error:
        _log.error("unique key %a is free again: %s", name, error)
        tx.db.execute("DELETE FROM lock WHERE app = ? AND name = ?", (tx.app, name))
        return None
    return Lock(*row)


def holder_of(tx: Transaction, lock: Lock, name: str) -> Header | None:
    """Return the holder's header while it holds: a job retried by hand is alive but has no lock.

    Of those that have ended only one has a lock that was withdrawn, and is on its way to another carrier.
    """
    header = Header.by_id(tx, [lock.holder]).get(lock.holder)
    return header if header is not None and header.lock == name else None


def let_go(tx: Transaction, job_id: JobId, name: str) -> None:
    """Let a held job no longer wait for the holder: an operator promoted it."""
    tx.db.execute(
        "UPDATE lock SET held = NULL, held_due_ms = NULL WHERE app = ? AND name = ? AND held = ?",
        (tx.app, name, job_id),
    )


def free(tx: Transaction, job_id: JobId, name: str) -> None:
    """Free the key of a job that ended or was removed; the held job becomes its holder."""
    lock = read(tx, name)
    if lock is None:
        return
    if lock.held == job_id:
        let_go(tx, job_id, name)
        return
    if lock.holder != job_id:
        return
    if lock.held is not None:
        _follow(tx, name, lock.held, lock.held_due_ms)
    elif lock.until_ms <= tx.now:
        tx.db.execute("DELETE FROM lock WHERE app = ? AND name = ?", (tx.app, name))


def _follow(tx: Transaction, name: str, job_id: JobId, due_ms: int | None) -> None:
    since: int = tx.now
    # It may have ended in the same batch as the holder: then the key is freed once more, for it.
    row = tx.db.execute(
        "SELECT seq, since_ms FROM job WHERE app = ? AND id = ? AND state = 0", (tx.app, job_id)
    ).fetchone()
    if row is not None:
        seq, since = row
        waits = due_ms is not None and due_ms > tx.now
        tx.db.execute(
            "UPDATE job SET state = ?, pos = ?, since_ms = ?, due_ms = ? WHERE seq = ?",
            (SCHEDULED if waits else READY, 0 if waits else tx.next_place(), tx.now, due_ms, seq),
        )
        tx.wake += 1
    tx.db.execute(
        "UPDATE lock SET holder = ?, since_ms = ?, until_ms = ?, held = NULL, held_due_ms = NULL, mode = 'keep_last' "
        "WHERE app = ? AND name = ?",
        (job_id, since, since, tx.app, name),
    )
