"""Claiming jobs under the lease of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.base import Claimed
from headway.brokers.sqlite.file.schema import RUNNING
from headway.brokers.sqlite.file.ticks import boot
from headway.brokers.sqlite.records import DELIVERY, DamagedRowError, Header, delivery
from headway.brokers.sqlite.transitions import finish, set_aside
from headway.brokers.sqlite.upkeep import advance, next_in_ms
from headway.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import QueueWant
    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.brokers.sqlite.records import Row
    from headway.job import Delivery, WorkerId

_TAKE: Final = (
    "UPDATE job SET state = 2, worker = ?, epoch = epoch + 1, attempt = attempt + 1, started_ms = ? "  # noqa: S608 - a constant
    "WHERE seq IN (SELECT seq FROM job INDEXED BY job_ready WHERE app = ? AND state = 1 AND queue = ? "
    "AND (expires_ms IS NULL OR expires_ms > ?) ORDER BY priority DESC, pos LIMIT ?) "
    "RETURNING " + DELIVERY
)


def claim(
    tx: Transaction, wants: Sequence[QueueWant], worker: WorkerId, limit: int, lease_ms: int
) -> Claimed:
    """Claim ready jobs of queues that are not paused, in the order of the wants."""
    advance(tx)
    paused = {queue for (queue,) in tx.db.execute("SELECT queue FROM paused WHERE app = ?", (tx.app,))}
    taken: list[Delivery] = []
    for want in wants:
        room = min(want.limit, limit - len(taken))
        while want.queue not in paused and room > 0:
            rows = tx.db.execute(_TAKE, (worker, tx.now, tx.app, want.queue, tx.now, room)).fetchall()
            sound = _deliveries(tx, rows, worker)
            taken += sound
            room -= len(sound)
            if len(rows) == len(sound):
                break  # only damaged ones leave room for a second try
    if taken:
        tx.db.execute(
            "INSERT INTO lease (app, worker, until_ms, boot) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (app, worker) DO UPDATE SET until_ms = excluded.until_ms, boot = excluded.boot",
            (tx.app, worker, tx.tick + lease_ms, boot()),
        )
    return Claimed(taken, next_in_ms(tx, worker))


def _order(row: Row) -> tuple[int, int]:
    priority, place = row[2], row[3]
    return (-priority, place) if isinstance(priority, int) and isinstance(place, int) else (0, 0)


def _deliveries(tx: Transaction, rows: list[Row], worker: WorkerId) -> list[Delivery]:
    """Sort the claimed rows, since RETURNING promises no order. A damaged one fails, so that it blocks no other."""
    rows.sort(key=_order)
    deliveries: list[Delivery] = []
    for row in rows:
        seq, job_id, queue, epoch = row[0], row[1], row[5], row[8]
        whole = row if row[6] is not None else (*row[:6], _payload(tx, seq), *row[7:])
        try:
            deliveries.append(delivery(whole, worker))
        except DamagedRowError as error:
            header = Header(seq, job_id, RUNNING, queue, worker, epoch, row[7], row[9], row[12], row[13], "")
            finish(tx, [set_aside(header, str(error))])
        else:
            tx.event(EventKind.STARTED, job_id, queue, epoch, worker, row[7])
    return deliveries


def _payload(tx: Transaction, seq: int) -> object:
    row = tx.db.execute("SELECT data FROM payload WHERE seq = ?", (seq,)).fetchone()
    return None if row is None else row[0]
