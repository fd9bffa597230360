"""Accepting jobs in their order: in bulk, but one by one those with a key, a unique key or a fire time."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, TypeVar

from headway.brokers.base import Enqueued
from headway.brokers.sqlite import unique
from headway.brokers.sqlite.file.schema import CANCELLED, READY, SCHEDULED
from headway.brokers.sqlite.records import INLINE_MAX, Header
from headway.brokers.sqlite.transitions import delete
from headway.brokers.sqlite.upkeep import is_old
from headway.errors import BrokerRefusedError
from headway.events import EventKind
from headway.job import JobId
from headway.schedules.fires import check_fire, last_fire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.brokers.sqlite.records import Row
    from headway.job import Fire, NewJob, Past

T = TypeVar("T")

_INSERT: Final = (
    "INSERT INTO job (app, id, state, queue, priority, pos, since_ms, due_ms, expires_ms, task, key, lock, payload) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app, id) DO NOTHING"
)


_NOT_STORABLE: Final = (
    OverflowError,
    TypeError,
    UnicodeEncodeError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)


def enqueue(tx: Transaction, jobs: Sequence[NewJob]) -> list[Enqueued]:
    """Accept the jobs in their order, or return whose duplicates they are. BrokerRefusedError names a wrong one."""
    return named(tx, jobs, _enqueue_all)


def named(tx: Transaction, jobs: Sequence[NewJob], accept: Callable[[Transaction, Sequence[NewJob]], T]) -> T:
    """Accept jobs; BrokerRefusedError names the one that holds what cannot be stored."""
    try:
        return accept(tx, jobs)
    except _NOT_STORABLE:
        for job in jobs:
            try:
                row = _row(tx, job)
                tx.db.execute(f"SELECT {', '.join('?' * len(row))}", row)
            except _NOT_STORABLE as error:
                msg = f"job {job.id!a} of task {job.task!a}: a value cannot be stored: {error}"
                raise BrokerRefusedError(msg) from error
        raise


def _enqueue_all(tx: Transaction, jobs: Sequence[NewJob]) -> list[Enqueued]:
    answers: list[Enqueued] = []
    bulk: list[NewJob] = []
    for job in jobs:
        if (
            job.key is None
            and job.unique is None
            and job.fire is None
            and job.past is None
            and len(job.payload) <= INLINE_MAX
        ):
            bulk.append(job)
            answers.append(Enqueued(job.id))
        else:
            _insert_many(tx, bulk)
            bulk.clear()
            answers.append(enqueue_one(tx, job))
    _insert_many(tx, bulk)
    return answers


def _row(tx: Transaction, job: NewJob, *, held: bool = False) -> Row:
    ready = not held and (job.due_ms is None or job.due_ms <= tx.now)
    return (
        tx.app,
        job.id,
        READY if ready else SCHEDULED,
        job.queue,
        job.priority,
        tx.next_place() if ready else 0,
        tx.now,
        None if held else job.due_ms,
        job.expires_ms,
        job.task,
        job.key,
        None if job.unique is None else job.unique.key,
        job.payload if len(job.payload) <= INLINE_MAX else None,
    )


def _insert_many(tx: Transaction, jobs: Sequence[NewJob]) -> None:
    if not jobs:
        return
    known = set(Header.by_id(tx, [job.id for job in jobs])) if tx.recording else set[str]()
    tx.db.executemany(_INSERT, [_row(tx, job) for job in jobs])
    tx.wake += 1  # a delayed one too: an idle worker must learn when to come back
    for job in jobs if tx.recording else ():
        if job.id not in known:
            known.add(job.id)
            tx.event(EventKind.ENQUEUED, job.id, job.queue)


def enqueue_one(tx: Transaction, job: NewJob) -> Enqueued:
    """Accept one job, or return whose duplicate it is."""
    known = Header.by_id(tx, [job.id]).get(job.id)
    if known is not None and not _comes_back(tx, known, job.past):
        return Enqueued(job.id)
    if job.fire is not None and (first := _fired(tx, job, job.fire)) is not None:
        return Enqueued(job.id, duplicate_of=first)
    if job.key is not None and (holder := _key_holder(tx, job.key)) is not None:
        return Enqueued(job.id, duplicate_of=holder)
    held = False
    if job.unique is not None:
        decision = unique.meet(tx, job, job.unique)
        if isinstance(decision, unique.Refused):
            return Enqueued(job.id, duplicate_of=decision.duplicate_of)
        held = decision.held
    seq = tx.db.execute(_INSERT, _row(tx, job, held=held)).lastrowid
    if job.past is not None:
        tx.db.execute(
            "UPDATE job SET attempt = ?, crashes = ?, history = ?, epoch = ? WHERE seq = ?",
            (job.past.attempt, job.past.crashes, job.past.history, job.past.epoch, seq),
        )
    if len(job.payload) > INLINE_MAX:
        tx.db.execute("INSERT INTO payload (seq, data) VALUES (?, ?)", (seq, job.payload))
    if job.unique is not None:
        unique.take(tx, job, job.unique, held=held)
    tx.wake += 1
    tx.event(EventKind.ENQUEUED, job.id, job.queue)
    return Enqueued(job.id)


def _comes_back(tx: Transaction, known: Header, past: Past | None) -> bool:
    """Remove the record of a withdrawn job when it comes back from the other carrier."""
    if past is None or known.state != CANCELLED or past.epoch <= known.epoch:
        return False
    (withdrawn,) = tx.db.execute("SELECT withdrawn FROM job WHERE seq = ?", (known.seq,)).fetchone()
    if withdrawn is None:
        return False
    delete(tx, [known])
    # Nor may the window of its throttle refuse it.
    tx.db.execute(
        "DELETE FROM lock WHERE app = ? AND name = ? AND holder = ?", (tx.app, known.lock, known.id)
    )
    tx.event(EventKind.REMOVED, known.id, known.queue, known.epoch)
    return True


def _key_holder(tx: Transaction, key: str) -> JobId | None:
    """Return the job that holds the key, unless its record is due for pruning."""
    row = tx.db.execute(
        f"SELECT {Header.COLUMNS}, since_ms, withdrawn FROM job WHERE app = ? AND key = ?",  # noqa: S608 - a constant
        (tx.app, key),
    ).fetchone()
    if row is None:
        return None
    *columns, since_ms, withdrawn = row
    header = Header(*columns)
    if withdrawn is None and is_old(tx.settings.retention, tx.now, header.state, since_ms):
        delete(tx, [header])
        return None
    return header.id


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _fired(tx: Transaction, job: NewJob, fire: Fire) -> JobId | None:
    """Note the fire time; when it is not later than the last one noted, return that one's job."""
    check_fire(fire, tx.now)
    row = tx.db.execute(
        "SELECT last_fire_ms, last_job FROM schedule WHERE app = ? AND name = ?", (tx.app, fire.schedule)
    ).fetchone()
    if row is not None and (last := last_fire(_number(row[0]), tx.now)) is not None and fire.at_ms <= last:
        return JobId(row[1]) if row[1] else job.id
    tx.db.execute(
        "INSERT INTO schedule (app, name, last_fire_ms, last_job) VALUES (?, ?, ?, ?) ON CONFLICT (app, name) "
        "DO UPDATE SET last_fire_ms = excluded.last_fire_ms, last_job = excluded.last_job",
        (tx.app, fire.schedule, fire.at_ms, job.id),
    )
    return None
