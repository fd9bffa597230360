"""Outcomes and reports of running jobs, accepted only under the lease they were made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from headway.brokers.base import LogLine, Progress, Settlement, SettleResult
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
from headway.brokers.sqlite.transitions import Ending, end_lease_if_idle, finish, give_back
from headway.events import EventKind
from headway.job import Cancelled, Expired, Failed, Released, RetryAt, Succeeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import Report
    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import Delivery, Lease, Outcome


def _held(tx: Transaction, lease: Lease, header: Header | None) -> bool:
    """Tell whether the lease is held; a stale one is recorded as superseded."""
    if (
        header is not None
        and header.state == RUNNING
        and header.epoch == lease.epoch
        and header.worker == lease.worker
    ):
        return True
    if header is None:
        tx.event(EventKind.SUPERSEDED, lease.job_id, epoch=lease.epoch, worker=lease.worker)
    else:
        tx.event(EventKind.SUPERSEDED, lease.job_id, header.queue, lease.epoch, lease.worker)
    return False


def settle(tx: Transaction, items: Sequence[Settlement]) -> list[SettleResult]:
    """Apply the outcomes whose leases are held."""
    headers = Header.by_id(tx, [item.lease.job_id for item in items])
    results: list[SettleResult] = []
    endings: list[Ending] = []
    released: list[Header] = []
    for item in items:
        header = headers.get(item.lease.job_id)
        applied = _held(tx, item.lease, header)
        results.append(SettleResult(item.lease.job_id, applied))
        if header is None or not applied:
            continue
        ending = _ending(header, item.outcome)
        if ending is not None:
            # Written together below, as releases are: a second outcome for the same job must find it ended.
            header.state = ending.state
            endings.append(ending)
        elif isinstance(item.outcome, RetryAt):
            _retry(tx, header, item.outcome)
        else:
            header.state = READY
            header.attempt -= 1
            released.append(header)
    finish(tx, endings)
    # Each goes to the head in its turn, so the last of the batch comes to stand first.
    give_back(tx, released[::-1], [EventKind.RELEASED] * len(released))
    for worker in {item.lease.worker for item, result in zip(items, results, strict=True) if result.applied}:
        end_lease_if_idle(tx, worker)
    return results


def hand_back(tx: Transaction, deliveries: Sequence[Delivery]) -> None:
    """Release jobs that a claim took for a caller that has gone; those no longer held are skipped."""
    known = Header.by_id(tx, [delivery.lease.job_id for delivery in deliveries])
    leases = [
        delivery.lease
        for delivery in deliveries
        if (header := known.get(delivery.lease.job_id)) is not None
        and header.state == RUNNING
        and header.epoch == delivery.lease.epoch
    ]
    settle(tx, [Settlement(lease, Released()) for lease in leases])


def _ending(header: Header, outcome: Outcome) -> Ending | None:
    """Return how the job ends; None when it goes on. A cancellation asked for meanwhile stops what would go on."""
    match outcome:
        case Succeeded(result=result):
            return Ending(header, SUCCEEDED, result=result)
        case Failed(history=history):
            return Ending(header, FAILED, history=history)
        case Cancelled(reason=reason):
            return Ending(header, CANCELLED, reason or header.reason)
        case Expired():
            return Ending(header, EXPIRED)
        case RetryAt(history=history):
            return Ending(header, CANCELLED, header.reason, history=history) if header.cancel else None
        case Released():
            return Ending(header, CANCELLED, header.reason) if header.cancel else None
        case _:
            assert_never(outcome)


def _retry(tx: Transaction, header: Header, outcome: RetryAt) -> None:
    ready = outcome.at_ms <= tx.now
    header.state = READY if ready else SCHEDULED
    header.attempt -= 0 if outcome.counted else 1
    place = tx.next_place() if ready else 0
    tx.db.execute(
        "UPDATE job SET state = ?, pos = ?, since_ms = ?, due_ms = ?, attempt = ?, history = ?, worker = NULL "
        "WHERE seq = ?",
        (header.state, place, tx.now, outcome.at_ms, header.attempt, outcome.history, header.seq),
    )
    tx.event(EventKind.RETRY, header.id, header.queue, header.epoch, header.worker)
    tx.wake += 1


def report(tx: Transaction, reports: Sequence[Report]) -> list[SettleResult]:
    """Record progress and log lines of running jobs."""
    headers = Header.by_id(tx, [item.lease.job_id for item in reports])
    results: list[SettleResult] = []
    for item in reports:
        header = headers.get(item.lease.job_id)
        applied = _held(tx, item.lease, header)
        results.append(SettleResult(item.lease.job_id, applied))
        if header is None or not applied:
            continue
        match item.content:
            case Progress(fraction=fraction, message=message):
                tx.db.execute(
                    "UPDATE job SET progress = ?, message = ? WHERE seq = ?", (fraction, message, header.seq)
                )
            case LogLine():
                _log(tx, header.seq, item.content)
            case _:
                assert_never(item.content)
    return results


def _log(tx: Transaction, seq: int, line: LogLine) -> None:
    """Keep the last lines, which show how the job ended."""
    (last,) = tx.db.execute("SELECT coalesce(max(n), 0) FROM log WHERE seq = ?", (seq,)).fetchone()
    if not isinstance(last, int):  # written by another hand
        tx.db.execute("DELETE FROM log WHERE seq = ? AND typeof(n) != 'integer'", (seq,))
        (last,) = tx.db.execute("SELECT coalesce(max(n), 0) FROM log WHERE seq = ?", (seq,)).fetchone()
    tx.db.execute(
        "INSERT INTO log (seq, n, at_ms, level, message) VALUES (?, ?, ?, ?, ?)",
        (seq, last + 1, line.at_ms, line.level, line.message),
    )
    tx.db.execute("DELETE FROM log WHERE seq = ? AND n <= ?", (seq, last + 1 - tx.settings.max_log_lines))
