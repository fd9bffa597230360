"""Figures: sums by the minute and by the half hour, merged by the server; see `lua/add_figures.lua`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from headway.figures.values import (
    COARSE_KEPT_MS,
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
    from collections.abc import Sequence

    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.call import Argument
    from headway.figures.gatherer import Delta
    from headway.figures.values import Figures

_log: Final = logging.getLogger("headway.redis")
_SPANS: Final = 30  # in one call: the server answers others in between
_ROWS: Final = 50  # in one call, likewise: some milliseconds
_packer: Final = msgspec.msgpack.Encoder()
_names: Final = msgspec.msgpack.Decoder(tuple[str, str, str])
_counts: Final = msgspec.msgpack.Decoder(Counts)


async def add(session: Session, delta: Delta) -> None:
    """Add the rows; a repeat changes nothing, so that the connection may repeat the call.

    Many go in pieces, so that the server answers others in between. Each piece counts once for itself: of the same
    delta they are the same.
    """
    rows = delta.figures.rows
    for piece, first in enumerate(range(0, len(rows), _ROWS)):
        await _add(session, f"{delta.source}:{piece}", delta.number, rows[first : first + _ROWS])


async def _add(session: Session, source: str, number: int, rows: Sequence[Row]) -> None:
    kept = (FINE_KEPT_MS, COARSE_KEPT_MS, MAX_ROWS_OF_SPAN, MAX_ROWS_KEPT)
    arguments: list[Argument] = [source, number, *kept]
    for row in rows:
        arguments += [
            row.minute,
            _packer.encode((row.queue, row.task, row.carrier)),
            _packer.encode((row.queue, OTHER, row.carrier)),
            _packer.encode((OTHER, OTHER, row.carrier)),
            _packer.encode(row.counts),
        ]
    await session.run("add_figures", *arguments)


async def read(session: Session, since_ms: int, until_ms: int, queue: str | None, *, coarse: bool) -> Figures:
    """Return the sums of the spans that begin in [since_ms, until_ms)."""
    kind, kept_ms = ("c", COARSE_KEPT_MS) if coarse else ("f", FINE_KEPT_MS)
    start = (
        b"" if queue is None else b"\x93" + _packer.encode(queue)
    )  # an array of three, which begins with it
    first, last = -(-since_ms // MINUTE_MS), -(-until_ms // MINUTE_MS)
    rows: list[Row] = []
    while True:
        following, *spans = await session.run("figures", kind, kept_ms, first, last, start, _SPANS)
        for minute, pairs in zip(spans[::2], spans[1::2], strict=True):
            for field, counts in zip(pairs[::2], pairs[1::2], strict=True):
                try:
                    rows.append(Row(minute, *_names.decode(field), _counts.decode(counts)))
                except (msgspec.MsgspecError, ValueError):
                    _log.warning(
                        "figures of minute %d: a row is left out, its stored bytes are damaged", minute
                    )
        if not following:
            return figures(rows)
        first = following
