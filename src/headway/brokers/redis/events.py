"""Life-cycle events: a stream on the server, written only while somebody watches, or always if so configured."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any, Final, cast

from headway.brokers.redis.keys import event_channel
from headway.brokers.redis.wire.subscriptions import Subscription
from headway.errors import ConfigError
from headway.events import Event, EventKind
from headway.job import JobId, WorkerId
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.subscriptions import Listener

_log: Final = logging.getLogger("headway.redis")
_PRESENCE: Final = 30  # seconds that a watcher counts as present
_RENEWAL: Final = 10.0
_BATCH: Final = 500
_BEGINNING: Final = "0-0"
_CURSOR: Final = re.compile(r"\d{1,20}-\d{1,20}(?::\d{1,4})?")


class EventStream:
    """Events of the app for the watchers in this process."""

    def __init__(self, session: Session, listener: Listener) -> None:
        """Nobody watches yet."""
        self._session = session
        self._listener = listener
        self._watchers = 0
        self._services = Services(_log, "events of Redis")
        self._bells: set[asyncio.Event] = set()
        self._closed = False

    async def close(self) -> None:
        """End the iterations of all watchers."""
        self._closed = True
        for bell in self._bells:
            bell.set()
        await self._leave()

    async def end(self) -> str:
        """Return the cursor behind the last event; events are kept from now on, as if somebody watched."""
        announced = asyncio.ensure_future(self._announce())
        cursor = await self._last()
        await announced
        return cursor

    async def kept(self, after: str) -> bool:
        """Tell whether no event behind the cursor has been dropped: the stream is cut at its beginning alone."""
        if not _CURSOR.fullmatch(after):
            return False
        stream = f"{self._session.prefix}ev"
        first = await self._session.command("XRANGE", stream, "-", "+", "COUNT", 1)
        if not first:
            return after == _BEGINNING
        if _position(after) >= _position(first[0][0].decode()):
            last = await self._session.command("XREVRANGE", stream, "+", "-", "COUNT", 1)
            # A cursor behind the last event is one of a stream that is gone.
            return bool(last) and _position(after) <= _position(last[0][0].decode())
        known: Any = await self._session.command("XINFO", "STREAM", stream)
        fields: dict[bytes, Any] = (
            cast("dict[bytes, Any]", known)
            if isinstance(known, dict)
            else dict(zip(known[::2], known[1::2], strict=True))
        )
        # A server older than Redis 7 does not tell how many there were in all.
        return after == _BEGINNING and fields.get(b"entries-added") == fields.get(b"length")

    async def events(self, after: str | None) -> AsyncIterator[Event]:
        """Yield events, those behind `after` first."""
        if after is not None and not _CURSOR.fullmatch(after):
            msg = f"not a cursor of events: {after!r}; pass back the `cursor` of an event"
            raise ConfigError(msg)
        self._closed = False
        bell = asyncio.Event()
        self._bells.add(bell)
        channel = event_channel(self._session.prefix)
        subscription = Subscription(lambda _: bell.set(), bell.set)
        self._watchers += 1
        try:
            # Both leave in one write, before anything else: what happens from here on is yielded.
            announced = asyncio.ensure_future(self._announce())
            cursor = after if after is not None else await self._last()
            await announced
            if not list(self._services):
                self._services.start("presence", self._stay_present, first=_RENEWAL)
            await self._listener.subscribe(channel, subscription)
            while not self._closed:
                bell.clear()
                entries = await self._read(cursor)
                for entry_id, fields in entries:
                    position, events = entry_id.decode(), _events(entry_id.decode(), fields)
                    seen = _seen(cursor, position)
                    cursor = position
                    for event in events[seen:]:
                        yield event
                if not entries:
                    await bell.wait()
        finally:
            self._bells.discard(bell)
            self._watchers -= 1
            if not self._watchers:
                await self._leave()
            await self._listener.unsubscribe(channel, subscription)

    async def _read(self, cursor: str) -> Any:  # noqa: ANN401 - the server's answer
        return await self._session.command(
            "XRANGE", f"{self._session.prefix}ev", _behind(cursor), "+", "COUNT", _BATCH
        )

    async def _last(self) -> str:
        last = await self._session.command("XREVRANGE", f"{self._session.prefix}ev", "+", "-", "COUNT", 1)
        return last[0][0].decode() if last else _BEGINNING

    async def _announce(self) -> None:
        await self._session.command("SET", f"{self._session.prefix}ev:on", 1, "EX", _PRESENCE)

    async def _stay_present(self) -> float:
        await self._announce()
        return _RENEWAL

    async def _leave(self) -> None:
        await self._services.stop()


def _position(cursor: str) -> tuple[int, int]:
    milliseconds, _, number = cursor.partition(":")[0].partition("-")
    return int(milliseconds), int(number)


def _behind(cursor: str) -> str:
    """Return where to read on: behind an entry, or from one of which some events were read."""
    return cursor.partition(":")[0] if ":" in cursor else f"({cursor}"


def _seen(cursor: str, position: str) -> int:
    """Return how many events of the entry at this position lie before the cursor."""
    entry, _, number = cursor.partition(":")
    return int(number) if number and entry == position else 0


def _events(position: str, fields: list[bytes]) -> list[Event]:
    """Read an entry; nothing when it is damaged or of a kind that only newer versions know.

    The cursor of its last event is the position itself, that of each before it has the number of events up to it.
    """
    try:
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        named, first, at, of_epoch = values[b"e"].decode().split("|")
        ids = [first, *values.get(b"i", b"").decode().split()]
        kind, at_ms, epoch = EventKind(named), int(at), int(of_epoch)
        queue, by = values.get(b"q", b"").decode(), values.get(b"w", b"").decode()
        worker, attempt = WorkerId(by) if by else None, int(values.get(b"a") or 0)
        cursors = [*(f"{position}:{number}" for number in range(1, len(ids))), position]
        return [
            Event(cursor, kind, JobId(job_id), at_ms, queue, epoch, worker, attempt)
            for cursor, job_id in zip(cursors, ids, strict=True)
        ]
    except (ValueError, KeyError):
        return []
