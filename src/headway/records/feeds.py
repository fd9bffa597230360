"""How far the events of a carrier are recorded, and who records them: one row a carrier, written with the records.

The cursor is moved in the transaction that writes what lies before it, and only by whoever holds the feed, from where
it was: so nothing is left out by a recorder that is killed, and one that was thought dead writes nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from sqlalchemy import or_, select, update

from headway.errors import HeadwayError
from headway.records.tables import FEED
from headway.records.writing import insert_once

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from headway.records.store import RecordStore

UNREAD = ""
"""The cursor of a feed of which nothing has been recorded yet."""


class FeedLostError(HeadwayError):
    """Another recorder has taken the feed over, or the same write was applied already: begin again at its cursor."""


class Held(Struct, frozen=True):
    """A feed that this recorder holds, at its cursor."""

    carrier: str
    holder: str
    cursor: str
    gaps: int = 0


async def take(store: RecordStore, carrier: str, holder: str, *, now_ms: int, ttl_ms: int) -> Held | None:
    """Take the feed of a carrier for so long; None: another recorder has it."""
    async with store.writing() as connection:
        await connection.execute(
            insert_once(
                connection,
                FEED,
                {
                    "carrier": carrier,
                    "cursor": UNREAD,
                    "at_ms": 0,
                    "seen_ms": 0,
                    "gaps": 0,
                    "holder": "",
                    "until_ms": 0,
                },
            )
        )
        taken = await connection.execute(
            update(FEED)
            .where(FEED.c.carrier == carrier, or_(FEED.c.holder == holder, FEED.c.until_ms < now_ms))
            .values(holder=holder, until_ms=now_ms + ttl_ms)
        )
        if not taken.rowcount:
            return None
        row = (
            await connection.execute(select(FEED.c.cursor, FEED.c.gaps).where(FEED.c.carrier == carrier))
        ).one()
    return Held(carrier, holder, row.cursor, row.gaps)


async def advance(
    connection: AsyncConnection,
    held: Held,
    cursor: str,
    *,
    until_ms: int,
    seen_ms: int | None = None,
    at_ms: int | None = None,
    gaps: int = 0,
) -> Held:
    """Move the cursor in the present transaction; FeedLostError when it is not where this recorder left it."""
    values: dict[str, str | int] = {"cursor": cursor, "until_ms": until_ms, "gaps": held.gaps + gaps}
    values |= {name: value for name, value in (("seen_ms", seen_ms), ("at_ms", at_ms)) if value is not None}
    moved = await connection.execute(
        update(FEED)
        .where(FEED.c.carrier == held.carrier, FEED.c.holder == held.holder, FEED.c.cursor == held.cursor)
        .values(values)
    )
    if moved.rowcount != 1:
        msg = f"records of carrier {held.carrier!r}: another recorder writes them, or the last write was applied"
        raise FeedLostError(msg)
    return Held(held.carrier, held.holder, cursor, held.gaps + gaps)


async def release(store: RecordStore, carrier: str, holder: str) -> None:
    """Let another recorder take the feed at once."""
    async with store.writing() as connection:
        await connection.execute(
            update(FEED)
            .where(FEED.c.carrier == carrier, FEED.c.holder == holder)
            .values(holder="", until_ms=0)
        )
