"""Figures: sums by the minute and by the half hour, a row for each queue, task and carrier."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from headway.figures.values import (
    COARSE_KEPT_MS,
    COARSE_MINUTES,
    FINE_KEPT_MS,
    MAX_ROWS_KEPT,
    MAX_ROWS_OF_SPAN,
    MINUTE_MS,
    OTHER,
    Counts,
    Row,
    figures,
)

if TYPE_CHECKING:
    import sqlite3

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.figures.gatherer import Delta
    from headway.figures.values import Figures

_log: Final = logging.getLogger("headway.sqlite")
_FINE: Final = 1  # minutes
_KEPT_MS: Final = {_FINE: FINE_KEPT_MS, COARSE_MINUTES: COARSE_KEPT_MS}
_SPARED: Final = 60  # minutes that are kept however many rows they have: each has a bound of its own
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Counts)


def add(tx: Transaction, delta: Delta) -> None:
    """Add the rows, unless this delta of its source, or a later one, was added before."""
    row = tx.db.execute(
        "SELECT number FROM figures_source WHERE app = ? AND source = ?", (tx.app, delta.source)
    ).fetchone()
    if row is not None and row[0] >= delta.number:
        return
    tx.db.execute(
        "INSERT INTO figures_source (app, source, number, at_ms) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (app, source) DO UPDATE SET number = excluded.number, at_ms = excluded.at_ms",
        (tx.app, delta.source, delta.number, tx.now),
    )
    present = tx.now // MINUTE_MS
    for span in _KEPT_MS:
        # A clock may be ahead of ours.
        rows = [
            Row(min(one.minute, present), one.queue, one.task, one.carrier, one.counts)
            for one in delta.figures.rows
        ]
        first = _first(span, tx.now)
        for one in figures(rows).coarse(span).rows:
            if one.minute >= first and _add(tx, span, one):
                _bound(tx, span)
    expire(tx)


def _first(span: int, now_ms: int) -> int:
    """The first minute that is kept."""
    return now_ms // MINUTE_MS - _KEPT_MS[span] // MINUTE_MS + 1


def _add(tx: Transaction, span: int, row: Row) -> bool:
    """Add one row; tell whether it is the first of its span, as it is once a minute."""
    size = None
    place = (tx.app, span, row.minute)
    names = (row.queue, row.task, row.carrier)
    held = _held(tx, place, names)
    if held is None:
        (size,) = tx.db.execute(
            "SELECT count(*) FROM figures WHERE app = ? AND span = ? AND minute = ?", place
        ).fetchone()
        if size >= MAX_ROWS_OF_SPAN:
            names = (row.queue, OTHER, row.carrier)
            held = _held(tx, place, names)
            if held is None and size >= 2 * MAX_ROWS_OF_SPAN:
                names = (OTHER, OTHER, row.carrier)
                held = _held(tx, place, names)
    counts = row.counts if held is None else held.merged(row.counts)
    tx.db.execute(
        "INSERT OR REPLACE INTO figures VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*place, *names, _encoder.encode(counts)),
    )
    return size == 0


def _held(tx: Transaction, place: tuple[int, int, int], names: tuple[str, str, str]) -> Counts | None:
    row = tx.db.execute(
        "SELECT counts FROM figures WHERE app = ? AND span = ? AND minute = ? "
        "AND queue = ? AND task = ? AND carrier = ?",
        (*place, *names),
    ).fetchone()
    return None if row is None else _decoded(row[0], place[-1])


def _bound(tx: Transaction, span: int) -> None:
    """Forget the oldest beyond the number of rows that are kept: a look through all of them, so not with each write."""
    beyond = tx.db.execute(
        "SELECT minute FROM figures WHERE app = ? AND span = ? ORDER BY minute DESC LIMIT 1 OFFSET ?",
        (tx.app, span, MAX_ROWS_KEPT),
    ).fetchone()
    if beyond is not None:
        until = min(beyond[0] + 1, tx.now // MINUTE_MS - _SPARED)
        tx.db.execute("DELETE FROM figures WHERE app = ? AND span = ? AND minute < ?", (tx.app, span, until))


def expire(tx: Transaction) -> None:
    """Forget what is too old."""
    for span in _KEPT_MS:
        tx.db.execute(
            "DELETE FROM figures WHERE app = ? AND span = ? AND minute < ?",
            (tx.app, span, _first(span, tx.now)),
        )
    tx.db.execute("DELETE FROM figures_source WHERE app = ? AND at_ms < ?", (tx.app, tx.now - FINE_KEPT_MS))


def read(
    db: sqlite3.Connection, app: int, instants: tuple[int, int, int], queue: str | None, *, coarse: bool
) -> Figures:
    """Return the sums of the spans that begin in [since_ms, until_ms); `instants` are these two and the present one."""
    since_ms, until_ms, now_ms = instants
    span = COARSE_MINUTES if coarse else _FINE
    first = max(-(-since_ms // MINUTE_MS), _first(span, now_ms))
    statement = (
        "SELECT minute, queue, task, carrier, counts FROM figures "
        "WHERE app = ? AND span = ? AND minute >= ? AND minute < ?"
    )
    values: list[object] = [app, span, first, -(-until_ms // MINUTE_MS)]
    if queue is not None:
        statement += " AND queue = ?"
        values.append(queue)
    rows: list[Row] = []
    for minute, its_queue, task, carrier, data in db.execute(statement, values):
        if (counts := _decoded(data, minute)) is not None:
            rows.append(Row(minute, its_queue, task, carrier, counts))
    return figures(rows)


def _decoded(data: bytes, minute: int) -> Counts | None:
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, TypeError):
        _log.warning("figures of minute %d: a row is left out, its stored bytes are damaged", minute)
        return None
