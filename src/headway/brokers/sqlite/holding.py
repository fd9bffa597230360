"""Which jobs hold the keys that must not be there twice: idempotency keys, unique keys, fire times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import Enqueued
from headway.brokers.sqlite import unique
from headway.brokers.sqlite.enqueue import enqueue_one, named
from headway.brokers.sqlite.file.schema import READY
from headway.brokers.sqlite.records import Header
from headway.brokers.sqlite.upkeep import is_old
from headway.job import JobId
from headway.schedules.fires import last_fire

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from headway.brokers.base import Retention
    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import Fire, NewJob, UniqueLock


def enqueue_held(tx: Transaction, jobs: Sequence[NewJob]) -> list[Enqueued | None]:
    """Enqueue the jobs whose unique key is held here; None for each of the others."""
    return named(tx, jobs, _enqueue_held)


def _enqueue_held(tx: Transaction, jobs: Sequence[NewJob]) -> list[Enqueued | None]:
    answers: list[Enqueued | None] = []
    for job in jobs:
        if Header.by_id(tx, [job.id]):
            answers.append(Enqueued(job.id))
        elif job.unique is None or not unique.stands_in_the_way(tx, job.unique):
            answers.append(None)
        else:
            answers.append(enqueue_one(tx, job))
    return answers


def find_held(
    db: sqlite3.Connection, app: int, jobs: Sequence[NewJob], now_ms: int, retention: Retention
) -> list[JobId | None]:
    """Return for each job the one that holds one of its keys. Reads only: an expired job counts as ended."""
    index = _Index(db, app, now_ms, retention)
    return [index.in_the_way_of(job) for job in jobs]


class _Index:
    def __init__(self, db: sqlite3.Connection, app: int, now_ms: int, retention: Retention) -> None:
        self._db = db
        self._app = app
        self._now = now_ms
        self._retention = retention

    def in_the_way_of(self, job: NewJob) -> JobId | None:
        holder = None if job.fire is None else self._fired(job, job.fire)
        if holder is None and job.key is not None:
            holder = self._key_holder(job.key)
        if holder is None and job.unique is not None:
            holder = self._unique_holder(job.unique)
        return holder

    def _fired(self, job: NewJob, fire: Fire) -> JobId | None:
        row = self._db.execute(
            "SELECT last_fire_ms, last_job FROM schedule WHERE app = ? AND name = ?",
            (self._app, fire.schedule),
        ).fetchone()
        at_ms = row[0] if row is not None and isinstance(row[0], int) else None
        last = last_fire(at_ms, self._now)
        if row is None or last is None or fire.at_ms > last:
            return None
        return JobId(row[1]) if row[1] else job.id

    def _key_holder(self, key: str) -> JobId | None:
        row = self._db.execute(
            "SELECT id, state, since_ms, withdrawn FROM job WHERE app = ? AND key = ?", (self._app, key)
        ).fetchone()
        if row is None or (row[3] is None and is_old(self._retention, self._now, row[1], row[2])):
            return None
        return JobId(row[0])

    def _unique_holder(self, lock: UniqueLock) -> JobId | None:
        row = self._db.execute(
            "SELECT holder, since_ms, until_ms, held FROM lock WHERE app = ? AND name = ?",
            (self._app, lock.key),
        ).fetchone()
        if row is None or not isinstance(row[1], int):
            return None
        holder, since_ms, until_ms, held = row
        state, overdue = self._state(holder, lock.key)
        if overdue and held is not None:
            holder, since_ms, until_ms = held, self._now, 0
            state, overdue = self._state(held, lock.key)
        if overdue:
            if until_ms <= self._now:
                return None
            state = None
        return JobId(holder) if unique.is_held(lock, since_ms, state, self._now) else None

    def _state(self, holder: str, key: str) -> tuple[int | None, bool]:
        """Return the state of a holder, None when it has ended; and whether it expired without being noted so."""
        row = self._db.execute(
            "SELECT state, expires_ms FROM job WHERE app = ? AND id = ? AND lock = ?",
            (self._app, holder, key),
        ).fetchone()
        if row is None:
            return None, False
        state, expires_ms = row
        return state, state <= READY and isinstance(expires_ms, int) and expires_ms <= self._now
