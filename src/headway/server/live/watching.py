"""Since when the events of an app have been watched without a pause, kept for the server that starts next.

A carrier that does not record events always writes them only while somebody watches, and for 30 s longer. A server that
starts soon enough goes on where the last one was; else nobody knows what happened in between, and readers are told so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import delete, insert, select

from headway.server.store.tables import WATCHES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.server.store.database import Database

EVERY: Final = 2.0
"""Seconds between two notes."""
PAUSE_MS: Final = 25_000
"""How long nobody may have watched, and yet nothing was missed."""


class Watch(NamedTuple):
    """What is known of the time before: watched from when to when, and how far."""

    since_ms: int
    until_ms: int
    cursors: dict[str, str]


async def last_watch(database: Database) -> Watch | None:
    """Return what the last server noted."""
    for row in await database.rows(select(WATCHES).where(WATCHES.c.app == database.app)):
        cursors = msgspec.json.decode(row["places"], type=dict[str, str])
        return Watch(row["since_ms"], row["until_ms"], cursors)
    return None


async def note_watch(database: Database, since_ms: int, now_ms: int, cursors: Mapping[str, str]) -> None:
    """Note that the events up to these cursors were read."""
    places = msgspec.json.encode(dict(cursors)).decode()
    async with database.writing() as connection:
        await connection.execute(delete(WATCHES).where(WATCHES.c.app == database.app))
        await connection.execute(
            insert(WATCHES).values(app=database.app, since_ms=since_ms, until_ms=now_ms, places=places)
        )
