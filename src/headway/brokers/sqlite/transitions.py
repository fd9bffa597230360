"""The transitions between states of a job, each with its locks, counters and events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.sqlite import unique_locks
from headway.brokers.sqlite.file.parameters import seq_list
from headway.brokers.sqlite.file.schema import (
    CANCELLED,
    EXPIRED,
    FAILED,
    READY,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
)
from headway.brokers.sqlite.records import Header
from headway.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import WorkerId

_log: Final = logging.getLogger("headway.sqlite")

_KINDS: Final = {
    SUCCEEDED: EventKind.SUCCEEDED,
    FAILED: EventKind.FAILED,
    CANCELLED: EventKind.CANCELLED,
    EXPIRED: EventKind.EXPIRED,
}


class Ending(Struct, frozen=True):
    """The columns that an ended job gets; None keeps what is stored."""

    header: Header
    state: int
    reason: str = ""
    result: bytes = b""
    history: bytes | None = None


def finish(tx: Transaction, endings: Sequence[Ending]) -> None:
    """Put jobs into terminal states, in their order."""
    if not endings:
        return
    tx.db.executemany(
        "UPDATE job SET state = ?, pos = ?, since_ms = ?, reason = ?, result = ?, history = coalesce(?, history), "
        "lock = NULL, attempt = ?, crashes = ? WHERE seq = ?",
        [
            (
                ending.state,
                tx.next_place(),
                tx.now,
                ending.reason,
                ending.result,
                ending.history,
                ending.header.attempt,
                ending.header.crashes,
                ending.header.seq,
            )
            for ending in endings
        ],
    )
    for ending in endings:
        header = ending.header
        header.state = ending.state
        if ending.state != FAILED:
            tx.kept += 1
        if tx.recording:
            tx.event(_KINDS[ending.state], header.id, header.queue, header.epoch, header.worker)
        if header.lock is not None:
            unique_locks.free(tx, header.id, header.lock)


def expire(tx: Transaction, header: Header) -> bool:
    """End a waiting job whose expiry has passed, also where no worker has looked; tell whether it was one."""
    if header.state not in {SCHEDULED, READY}:
        return False
    (expires_ms,) = tx.db.execute("SELECT expires_ms FROM job WHERE seq = ?", (header.seq,)).fetchone()
    if not isinstance(expires_ms, int) or expires_ms > tx.now:
        return False
    finish(tx, [Ending(header, EXPIRED)])
    return True


def set_aside(header: Header, damage: str) -> Ending:
    """Return how a job with a damaged row ends: dead-lettered with the reason, so that it blocks no other."""
    _log.error("job %a goes to the dead-letter state: %s", header.id, damage)
    return Ending(header, FAILED, damage)


def give_back(tx: Transaction, headers: Sequence[Header], kinds: Sequence[EventKind]) -> None:
    """Put running jobs back at the head of their queues, in their order."""
    if not headers:
        return
    tx.db.executemany(
        "UPDATE job SET state = 1, pos = ?, since_ms = ?, worker = NULL, attempt = ?, crashes = ? WHERE seq = ?",
        [
            (place, tx.now, header.attempt, header.crashes, header.seq)
            for place, header in enumerate(headers, start=tx.places_before(len(headers)))
        ],
    )
    for header, kind in zip(headers, kinds, strict=True):
        header.state = READY
        tx.event(kind, header.id, header.queue, header.epoch, header.worker)
    tx.wake += 1


def take_back(tx: Transaction, worker: WorkerId, started: frozenset[str] | None, crashed: EventKind) -> int:
    """Take back all that the worker holds and its lease; jobs in `started` (None: all) count one crash more."""
    rows = tx.db.execute(
        f"SELECT {Header.COLUMNS} FROM job INDEXED BY job_running "  # noqa: S608 - a constant
        "WHERE app = ? AND state = 2 AND worker = ? ORDER BY pos",
        (tx.app, worker),
    ).fetchall()
    tx.db.execute("DELETE FROM lease WHERE app = ? AND worker = ?", (tx.app, worker))
    back: list[Header] = []
    kinds: list[EventKind] = []
    cancelled: list[Ending] = []
    damaged: list[Ending] = []
    for row in rows:
        header, damage = Header.sound(row)
        if damage:
            damaged.append(set_aside(header, damage))
            continue
        if started is None or header.id in started:
            header.crashes += 1
            kind = crashed
        else:
            header.attempt -= 1
            kind = EventKind.RELEASED
        if header.cancel:
            cancelled.append(Ending(header, CANCELLED, header.reason))
        else:
            back.append(header)
            kinds.append(kind)
    give_back(tx, back, kinds)
    finish(tx, cancelled)
    finish(tx, damaged)
    return len(rows)


def make_ready(tx: Transaction, rows: Sequence[tuple[int, int]]) -> None:
    """Put scheduled jobs, given as (seq, waiting since), at the tail of their queues."""
    tx.db.executemany(
        "UPDATE job SET state = 1, pos = ?, since_ms = ? WHERE seq = ?",
        [(tx.next_place(), since, seq) for seq, since in rows],
    )
    if rows:
        tx.wake += 1


def delete(tx: Transaction, headers: Sequence[Header]) -> None:
    """Remove jobs that do not run, with their payloads and logs."""
    if not headers:
        return
    seqs = seq_list([header.seq for header in headers])
    if any(header.state == CANCELLED for header in headers):
        counted = (
            "SELECT count(*) FROM job WHERE withdrawn IS NOT NULL AND seq IN (SELECT value FROM json_each(?))"
        )
        tx.kept += tx.db.execute(counted, (seqs,)).fetchone()[0]  # they were not, see withdraw.py
    for table in ("job", "payload", "log"):
        statement = f"DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants
        tx.db.execute(statement, (seqs,))
    for header in headers:
        if header.state in {SCHEDULED, READY}:
            tx.gone += 1
        elif header.state not in {FAILED, RUNNING}:
            tx.kept -= 1
        if header.lock is not None:
            unique_locks.free(tx, header.id, header.lock)


def end_lease_if_idle(tx: Transaction, worker: WorkerId) -> None:
    """Remove the lease of a worker that holds nothing."""
    tx.db.execute(
        "DELETE FROM lease WHERE app = ?1 AND worker = ?2 AND NOT EXISTS "
        "(SELECT 1 FROM job INDEXED BY job_running WHERE app = ?1 AND state = 2 AND worker = ?2)",
        (tx.app, worker),
    )
