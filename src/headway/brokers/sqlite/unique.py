"""The decision about a new job whose unique key another job holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from headway.brokers.sqlite.file.schema import CANCELLED, RUNNING
from headway.brokers.sqlite.records import Header
from headway.brokers.sqlite.transitions import Ending, expire, finish
from headway.brokers.sqlite.unique_locks import holder_of, read
from headway.job import JobId, UniqueLock, UniqueMode

if TYPE_CHECKING:
    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import NewJob


class Accepted(Struct, frozen=True):
    """The job is accepted; when `held` it waits for the end of the holder."""

    held: bool = False


class Refused(Struct, frozen=True):
    """The job is a duplicate of this one."""

    duplicate_of: JobId


def meet(tx: Transaction, job: NewJob, unique: UniqueLock) -> Accepted | Refused:
    """Decide about a new job, and cancel those that it replaces."""
    lock = read(tx, unique.key)
    while lock is not None:
        holder = holder_of(tx, lock, unique.key)
        if holder is not None and expire(tx, holder):
            lock = read(tx, unique.key)  # the job that it held back may hold it now
            continue
        match unique.mode:
            case UniqueMode.REJECT:
                return Accepted() if holder is None else Refused(lock.holder)
            case UniqueMode.THROTTLE:
                within = tx.now < lock.since_ms + unique.window_ms
                return Refused(lock.holder) if within else Accepted()
            case UniqueMode.DEBOUNCE | UniqueMode.KEEP_LAST:
                if holder is None or holder.state > RUNNING:
                    return Accepted()
                if holder.state == RUNNING:
                    return Accepted(held=unique.mode is UniqueMode.KEEP_LAST)
                # Its end may make the job that it held back the holder, which waits as well: look again.
                _replace(tx, holder, job.id)
                lock = read(tx, unique.key)
            case _:
                assert_never(unique.mode)
    return Accepted()


def stands_in_the_way(tx: Transaction, unique: UniqueLock) -> bool:
    """Tell whether a job holds the key against a new job of this mode."""
    while (lock := read(tx, unique.key)) is not None:
        holder = holder_of(tx, lock, unique.key)
        if holder is not None and expire(tx, holder):
            continue  # the job that it held back may hold it now
        return is_held(unique, lock.since_ms, None if holder is None else holder.state, tx.now)
    return False


def is_held(unique: UniqueLock, since_ms: int, state: int | None, now_ms: int) -> bool:
    """Tell the same of a lock taken at `since_ms` by a job in this state; None: that has ended.

    A holder in a terminal state was withdrawn, and is on its way to another carrier: others cannot replace it there.
    """
    match unique.mode:
        case UniqueMode.THROTTLE:
            return now_ms < since_ms + unique.window_ms
        case UniqueMode.DEBOUNCE:
            return state is not None and state < RUNNING
        case UniqueMode.KEEP_LAST:
            return state is not None and state <= RUNNING
        case UniqueMode.REJECT:
            return state is not None
        case _:
            assert_never(unique.mode)


def _replace(tx: Transaction, old: Header, new: JobId) -> None:
    finish(tx, [Ending(old, CANCELLED, f"replaced by {new}")])


def take(tx: Transaction, job: NewJob, unique: UniqueLock, *, held: bool) -> None:
    """Make a stored job the holder, or the one that waits for the holder's end in place of the one before."""
    lock = read(tx, unique.key)
    if held and lock is not None:
        if lock.held is not None and (before := Header.by_id(tx, [lock.held]).get(lock.held)) is not None:
            _replace(tx, before, job.id)
        tx.db.execute(
            "UPDATE lock SET held = ?, held_due_ms = ? WHERE app = ? AND name = ?",
            (job.id, job.due_ms, tx.app, unique.key),
        )
        return
    window = unique.window_ms if unique.mode is UniqueMode.THROTTLE else 0
    tx.db.execute(
        "INSERT INTO lock (app, name, holder, since_ms, until_ms, mode) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT "
        "(app, name) DO UPDATE SET "
        "holder = excluded.holder, since_ms = excluded.since_ms, until_ms = excluded.until_ms, mode = excluded.mode",
        (tx.app, unique.key, job.id, tx.now, tx.now + window, unique.mode.value),
    )
