"""Leases of workers: extended by heartbeats, and taken back from dead workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import Heartbeat
from headway.brokers.sqlite import drains, presence
from headway.brokers.sqlite.file.ticks import boot
from headway.brokers.sqlite.transitions import take_back
from headway.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import WorkerId


def heartbeat(
    tx: Transaction, workers: Sequence[WorkerId], lease_ms: int, asked: Mapping[WorkerId, int]
) -> list[Heartbeat]:
    """Extend the leases that had not run out when the heartbeat was sent: it may have waited for the file."""
    return [
        Heartbeat(
            worker,
            tx.db.execute(
                "UPDATE lease SET until_ms = ?, boot = ? WHERE app = ? AND worker = ? AND until_ms > ?",
                (tx.tick + lease_ms, boot(), tx.app, worker, asked[worker]),
            ).rowcount
            == 1,
        )
        for worker in workers
    ]


def surrender(tx: Transaction, worker: WorkerId, started: frozenset[str] | None, *, forget: bool) -> int:
    """Take back the jobs of a dead worker: those in `started` are reclaimed (a crash more), the others released."""
    if forget:
        presence.forget(tx, worker)
        drains.forget(tx, worker)
    return take_back(tx, worker, started, EventKind.RECLAIMED)
