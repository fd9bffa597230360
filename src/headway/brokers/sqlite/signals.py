"""Signals to workers: those that other processes wrote into the file, and the wakes of this process."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from headway.brokers.base import CancelRequested, DrainRequested, LeaseLost, Wake
from headway.brokers.sqlite import drains
from headway.brokers.sqlite.file.listeners import signal_of
from headway.brokers.sqlite.file.watcher import SignalRow
from headway.brokers.sqlite.records import last_number
from headway.errors import BrokerUnavailableError
from headway.job import JobId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator

    from headway.brokers.base import Signal
    from headway.brokers.sqlite.file.opening import Opened
    from headway.brokers.sqlite.file.renewal import Renewal
    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import WorkerId


async def signals(
    renewal: Renewal, opened: Opened, worker: WorkerId, listened: set[WorkerId]
) -> AsyncGenerator[Signal]:
    """Yield a Wake, what was asked for before, then what comes, until the carrier is closed.

    `listened` are the workers for whom somebody has listened here: of one that begins nothing has been asked yet.

    When the file was lost, what the worker held is not in the one that follows: a LeaseLost, and again a Wake.
    """
    current: Opened | None = opened
    while current is not None:
        try:
            async with aclosing(_signals(current, worker, listened)) as found:
                async for signal in found:
                    yield signal
        except BrokerUnavailableError:
            if current.lost is None:
                raise
        loss, current = current.lost, await renewal.successor(current)
        if current is not None and loss is not None and loss.whole:
            yield LeaseLost()


async def _signals(opened: Opened, worker: WorkerId, listened: set[WorkerId]) -> AsyncGenerator[Signal]:
    with opened.listeners.mail(worker) as box:
        last, asked = await opened.write(partial(_begin, worker=worker, begins=worker not in listened))
        listened.add(worker)
        yield Wake()
        if asked:
            yield DrainRequested()
        for job_id in await opened.read(partial(_cancellations, worker=worker)):
            yield CancelRequested(job_id)
        while (item := await box.get()) is not None:
            if not isinstance(item, SignalRow):
                yield item
            elif item.seq > last:
                yield signal_of(item)


def _begin(tx: Transaction, *, worker: WorkerId, begins: bool) -> tuple[int, bool]:
    """Return the number of the last signal, and whether the worker was asked to drain."""
    if begins:
        drains.forget(tx, worker)
    return last_number(tx.db, "signal"), drains.is_asked(tx.db, tx.app, worker)


def _cancellations(db: sqlite3.Connection, app: int, worker: WorkerId) -> list[JobId]:
    """Return the jobs that the worker runs and was asked to cancel."""
    rows = db.execute(
        "SELECT id FROM job INDEXED BY job_running WHERE app = ? AND state = 2 AND worker = ? AND cancel = 1",
        (app, worker),
    )
    return [JobId(job_id) for (job_id,) in rows]
