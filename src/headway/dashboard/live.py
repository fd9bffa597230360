"""Tells open pages that something happened, so that they look again: no more than that travels.

All pages of a process share one look a second at how far the carriers' events have gone, and only while somebody has a
page open.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from starlette.responses import StreamingResponse

from headway.dashboard.answers import HEADERS
from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response

    from headway.brokers.base import Store

_EVERY: Final = 1.0  # seconds between two looks
_ANYWAY: Final = 10.0  # ages and what workers are at change without an event
_AWAY: Final = "away"
CHANGED: Final = "event: changed\ndata: {}\n\n"


class Pulse:
    """How far the events of an app have gone, looked at once a second for everybody."""

    def __init__(self, carrier: Store) -> None:
        self._carrier = carrier
        self._stamp = ""
        self._looked = -_EVERY
        self._lock = asyncio.Lock()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End all streams."""
        self._stopping.set()

    def answer(self) -> Response:
        """Return a stream for one page."""
        headers = {**HEADERS, "cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._stream(), 200, headers, "text/event-stream")

    async def stamp(self) -> str:
        """Return how far events have gone, as of at most a second ago; a word of its own while that is not known."""
        async with self._lock:
            if time.monotonic() - self._looked >= _EVERY:
                try:
                    self._stamp = await self._carrier.events_end()
                except HeadwayError:
                    self._stamp = _AWAY
                self._looked = time.monotonic()
            return self._stamp

    async def _stream(self) -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        before, told = await self.stamp(), time.monotonic()
        while not await self._stopped():
            now = await self.stamp()
            if now not in {before, _AWAY} or time.monotonic() - told >= _ANYWAY:
                yield CHANGED
                told = time.monotonic()
            before = now

    async def _stopped(self) -> bool:
        try:
            async with asyncio.timeout(_EVERY):
                return await self._stopping.wait()
        except TimeoutError:
            return False
