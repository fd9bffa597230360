"""What a reader has missed on one carrier and nobody has in memory: read for it alone, up to where memory begins."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from headway.clock import from_ms
from headway.errors import HeadwayError
from headway.raised import in_one_line
from headway.server.live.places import write_places
from headway.server.live.ring import frame_content, framed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from headway.events import Event
    from headway.server.live.ring import Ring
    from headway.server.live.source import Source

_CHUNK: Final = 64 * 1024  # bytes
_PAUSE: Final = 0.1  # seconds without an event, after which it is seen whether memory has caught up


class Backfill:
    """Reads what one reader has missed on one carrier."""

    def __init__(
        self,
        ring: Ring,
        source: Source,
        cursors: dict[str, str],
        wanted: Callable[[Event], bool],
        now: Callable[[], int],
    ) -> None:
        """`cursors` are the reader's places: that of this carrier moves on."""
        self._ring = ring
        self._source = source
        self._cursors = cursors
        self._wanted = wanted
        self._now = now

    async def chunks(self, at_ms: int) -> AsyncIterator[bytes]:
        """Yield what is to be sent; `at_ms` is when the reader was here last."""
        name = self._source.name
        try:
            kept = await self._source.store.events_kept(self._cursors[name])
            why = "" if kept else "the carrier does not keep all events behind this id any more"
        except HeadwayError as error:
            why = f"its events behind this id cannot be read: {in_one_line(error)}"
        if why:
            data = {"carrier": name, "from": from_ms(at_ms), "until": from_ms(self._now()), "why": why}
            self._cursors[name] = self._ring.cursors[name]
            yield b"event: missed\ndata: " + msgspec.json.encode(data) + b"\n\n"
            return
        pending = bytearray()
        stream = cast("AsyncGenerator[Event, Any]", self._source.store.events(self._cursors[name]))
        async with aclosing(stream) as events:
            following = asyncio.ensure_future(anext(events, None))
            try:
                while self._ring.number_of(name, self._cursors[name]) is None:
                    done, _ = await asyncio.wait({following}, timeout=_PAUSE)
                    if not done:
                        continue
                    event = following.result()
                    if event is None:
                        break
                    self._cursors[name] = event.cursor
                    if self._wanted(event):
                        pending += framed(
                            frame_content(name, event), write_places(self._now(), self._cursors)
                        )
                    if len(pending) >= _CHUNK:
                        yield bytes(pending)
                        pending.clear()
                    following = asyncio.ensure_future(anext(events, None))
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError, HeadwayError):
                    await following
        if pending:
            yield bytes(pending)
