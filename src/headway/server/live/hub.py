"""One reader of all carriers for all who want their events: they share what is in memory, and wait for one bell."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from headway.errors import HeadwayError
from headway.raised import in_one_line
from headway.server.live.ring import Ring
from headway.server.live.source import Source
from headway.server.live.stopping import EVERY as LOOK_EVERY
from headway.server.live.stopping import host_stops
from headway.server.live.watching import EVERY, PAUSE_MS, last_watch, note_watch
from headway.service import Services

if TYPE_CHECKING:
    from headway.brokers.base import Store
    from headway.events import Event
    from headway.server.services.shared import Shared

_log: Final = logging.getLogger("headway.server")
_GATHER: Final = 0.02  # seconds that events are gathered before all are woken
MOST_READERS: Final = 2000
"""Streams of one server process."""


class Hub:
    """The events of an app, for the streams of this process."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.ring = Ring()
        self.since_ms = 0  # since when events have been watched without a pause
        self.readers = 0
        self.closed = False
        self.backfills = asyncio.Semaphore(32)
        self.services = Services(_log, "live events")
        self.sources: dict[str, Source] = {}
        self.silent: list[str] = []  # carriers without events
        self._bell = asyncio.Event()
        self._ringing = False

    @property
    def records_always(self) -> bool:
        """True where carriers keep events also while nobody watches."""
        return self.shared.app.settings.record_events

    async def open(self) -> None:
        """Begin to read: where the last server was, if that was just now, else from now on."""
        now = self.shared.app.clock.now_ms()
        last = await last_watch(self.shared.database)
        goes_on = last is not None and (self.records_always or now - last.until_ms < PAUSE_MS)
        self.since_ms = last.since_ms if last is not None and goes_on else now
        before = last.cursors if last is not None and goes_on else {}
        for name, store in self.shared.carriers.items():
            if not store.capabilities.events:
                self.silent.append(name)
                continue
            cursor = await self._beginning(name, store, before.get(name))
            if cursor is None:
                continue
            self.ring.begin(name, cursor)
            self.sources[name] = Source(name, store, cursor, self._told)
        for source in self.sources.values():
            source.start()
        self.services.start("watch", self._note)
        self.services.start("host", self._look_at_host)

    async def close(self) -> None:
        """Read no more, and end all streams."""
        self.end_streams()
        await self.services.stop()
        await asyncio.gather(*(source.stop() for source in self.sources.values()))
        if self.sources:
            try:
                await self._note()
            except HeadwayError as error:
                _log.warning("live events: how far they were read is not kept: %s", in_one_line(error))

    def end_streams(self) -> None:
        """Have all streams end."""
        self.closed = True
        self.ring_bell()

    async def wait(self, seconds: float) -> None:
        """Wait until there is something new, or for so long."""
        bell = self._bell
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            pass

    def ring_bell(self) -> None:
        """Wake all who wait."""
        self._ringing = False
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def ring_soon(self) -> None:
        """Wake all who wait, once for all that comes in the next moment."""
        if not self._ringing:
            self._ringing = True
            asyncio.get_running_loop().call_later(_GATHER, self.ring_bell)

    def _told(self, carrier: str, event: Event) -> None:
        self.ring.add(carrier, event, self.shared.app.clock.now_ms())
        self.ring_soon()

    async def _beginning(self, name: str, store: Store, before: str | None) -> str | None:
        try:
            if before is not None and await store.events_kept(before):
                return before
            end = await store.events_end()
        except HeadwayError as error:
            _log.warning("live events: carrier %s is not read: %s", name, in_one_line(error))
            self.silent.append(name)
            return None
        if before is not None:
            self.since_ms = self.shared.app.clock.now_ms()
        return end

    async def _look_at_host(self) -> float:
        """End all streams once the server of an application that this stands in was told to stop: it waits for them."""
        if not self.closed and host_stops():
            self.end_streams()
        return LOOK_EVERY

    async def _note(self) -> float:
        now = self.shared.app.clock.now_ms()
        await note_watch(self.shared.database, self.since_ms, now, self.ring.cursors)
        return EVERY
