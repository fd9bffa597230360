"""Giving waiting jobs away to another carrier of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from headway.brokers.sqlite.file.parameters import seq_list
from headway.brokers.sqlite.file.schema import CANCELLED, READY
from headway.brokers.sqlite.records import DamagedRowError, Header, Withdrawn, record, records, withdrawn_of
from headway.brokers.sqlite.transitions import Ending, finish
from headway.brokers.sqlite.unique_locks import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.brokers.sqlite.records import Row
    from headway.job import JobId, JobRecord


def withdraw(tx: Transaction, ids: Sequence[JobId], reason: str) -> list[JobRecord | None]:
    """End waiting jobs; return them as they were, and those that were withdrawn under this reason before."""
    headers = Header.by_id(tx, ids)
    wanted = {one.seq: one for one in headers.values() if one.state <= READY or _ended_so(one, reason)}
    rows = records(tx.db, "WHERE seq IN (SELECT value FROM json_each(?))", (seq_list(list(wanted)),))
    found: dict[JobId, JobRecord] = {}
    for seq, *rest in rows:
        header = wanted[seq]
        before = _before(tx, header, tuple(rest), reason)
        if before is not None:
            found[header.id] = before
    return [found.get(job_id) for job_id in ids]


def _ended_so(header: Header, reason: str) -> bool:
    return header.state == CANCELLED and header.reason == reason


def _before(tx: Transaction, header: Header, row: Row, reason: str) -> JobRecord | None:
    try:
        known, gone = record(row), withdrawn_of(row)
    except DamagedRowError:
        return None  # damaged: the next claim dead-letters it
    if gone is not None:
        return replace(known, state=gone.state, finished_ms=None, reason="", withdrawn=False)
    if header.state > READY or _is_bound(tx, header):
        return None
    if known.expires_ms is not None and known.expires_ms <= tx.now:
        return None
    lock = header.lock
    if lock is not None and (known.unique is None or not known.unique.mode.refuses):
        # Nobody can replace the job while it is on its way: who is to come next is accepted where that goes.
        tx.db.execute("DELETE FROM lock WHERE app = ? AND name = ? AND holder = ?", (tx.app, lock, header.id))
        lock = None
    header.lock = None  # the end of the job does not free it: it is held until the job is elsewhere
    finish(tx, [Ending(header, CANCELLED, reason)])
    header.lock = lock
    tx.kept -= 1  # of completed jobs, to which a cap applies: this one stays its whole time
    kept = Withdrawn(known.state, known.key, known.unique)
    tx.db.execute("UPDATE job SET lock = ?, withdrawn = ? WHERE seq = ?", (lock, kept.text(), header.seq))
    return known


def _is_bound(tx: Transaction, header: Header) -> bool:
    """Tell whether the job waits for the end of another one that runs here, or is waited for."""
    lock = None if header.lock is None else read(tx, header.lock)
    return lock is not None and lock.held is not None and header.id in {lock.holder, lock.held}
