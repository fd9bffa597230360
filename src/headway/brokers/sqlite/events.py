"""Life-cycle events: a table, written only while somebody watches, or always if so configured."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from headway.brokers.sqlite.file.ticks import machine_ms
from headway.brokers.sqlite.records import last_number
from headway.errors import BrokerUnavailableError, ConfigError
from headway.events import Event, EventKind
from headway.job import JobId, WorkerId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator

    from headway.brokers.sqlite.file.opening import Opened
    from headway.brokers.sqlite.file.renewal import Renewal
    from headway.brokers.sqlite.file.transaction import Transaction

_WATCH_MS: Final = 30_000  # an iterator counts as present; renewed three times in that time
_RENEW_S: Final = _WATCH_MS / 3000
_STEP: Final = 500
_KINDS: Final = {kind.value: kind for kind in EventKind}


async def events(
    renewal: Renewal, opened: Opened, since: int | None, present: asyncio.Future[int]
) -> AsyncGenerator[Event]:
    """Yield events behind `since`, or behind the last one of when `present` was noted, until the carrier is closed.

    When the file was lost, those of the one that follows, from its opening on.
    """
    current: Opened | None = opened
    while current is not None:
        try:
            async with aclosing(_events(current, since, present)) as found:
                async for event in found:
                    yield event
        except BrokerUnavailableError:
            if current.lost is None:
                raise
        current = await renewal.successor(current)
        if current is not None:
            since, present = None, current.write(watch)


async def _events(opened: Opened, since: int | None, present: asyncio.Future[int]) -> AsyncGenerator[Event]:
    last = await present
    number = last if since is None else since
    loop = asyncio.get_running_loop()
    renewed = loop.time()
    with opened.listeners.changes() as changed:
        while not opened.listeners.closed:
            changed.clear()
            found = await opened.read(partial(_since, since=number, limit=_STEP))
            for event in found:
                number = int(event.cursor)
                yield event
            if not found:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RENEW_S):  # before 3.12 `wait_for` may lose a cancellation
                        await changed.wait()
            if loop.time() - renewed > _RENEW_S and not opened.listeners.closed:
                renewed = loop.time()
                await opened.write(watch)


def watch(tx: Transaction) -> int:
    """Note that an iterator watches events; return the number of the last event."""
    until = machine_ms() + _WATCH_MS
    tx.db.execute("UPDATE app SET watched_until_ms = ? WHERE id = ?", (until, tx.app))
    tx.recording = True
    return last_number(tx.db, "event")


def kept(db: sqlite3.Connection, since: int) -> bool:
    """Tell whether no event behind this number has been dropped; of a later number than the last, that it is none."""
    last = last_number(db, "event")
    (first,) = db.execute("SELECT min(seq) FROM event").fetchone()
    return since == last or (first is not None and first - 1 <= since <= last)


def _since(db: sqlite3.Connection, app: int, since: int, limit: int) -> list[Event]:
    """Return events behind a number, oldest first; kinds of a newer Headway are left out."""
    rows = db.execute(
        "SELECT seq, kind, job, at_ms, queue, epoch, worker, attempt FROM event WHERE seq > ? AND app = ? "
        "ORDER BY seq LIMIT ?",
        (since, app, limit),
    )
    return [
        Event(
            str(seq),
            _KINDS[kind],
            JobId(job),
            at_ms,
            queue,
            epoch,
            None if worker is None else WorkerId(worker),
            attempt,
        )
        for seq, kind, job, at_ms, queue, epoch, worker, attempt in rows
        if kind in _KINDS
        and all(isinstance(text, str) for text in (job, queue, worker or ""))
        and all(isinstance(number, int) for number in (at_ms, epoch, attempt))
    ]


def event_number(cursor: str) -> int:
    """Read a cursor of `events`; ConfigError when it is none."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 19):  # noqa: PLR2004 - digits of a 64-bit number
        msg = f"{cursor!r} is not a cursor of events: give back the cursor of an event"
        raise ConfigError(msg)
    return min(int(cursor), 2**63 - 1)
