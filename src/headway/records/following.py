"""Follows one carrier: its events where it has some, else its jobs, looked at again and again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.errors import ConfigError, RecordsUnavailableError
from headway.records.feeds import UNREAD, FeedLostError, Held, advance, release, take
from headway.records.reading import EventReader, ended
from headway.records.sweeping import Sweeping
from headway.records.writing import write
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.clock import Clock
    from headway.events import Event
    from headway.records.preparing import Preparing
    from headway.records.written import Rows
    from headway.service import Service

_log: Final = logging.getLogger("headway.records")
BATCH: Final = 5000
"""Events of one transaction at most."""
GATHER: Final = 0.05
"""Seconds for which events are gathered behind the first one."""
BUSY: Final = 100
"""Events of a batch from which on the next one is gathered for longer: a transaction costs as much as many jobs."""
GATHER_BUSY: Final = 0.25
HELD_MS: Final = 15_000
"""For how long a recorder holds a feed behind its last sign: then another one takes it over."""
BEAT: Final = 2.0
"""Seconds after which a recorder without news says that it is there."""
STANDBY: Final = 2.0
POLL: Final = 5.0
"""Seconds between two looks at a carrier that has no events."""
POLL_ALL: Final = 300.0
"""Seconds between two looks at all of its jobs."""
_MARK: Final = "looked at"  # the cursor of a feed without events


class Told(Struct):
    """What is known of one feed in this process, for metrics."""

    behind_ms: int = 0
    recorded: int = 0
    """Events, or jobs of a carrier without them, that were written."""
    gaps: int = 0
    holding: bool = False


class Following:
    """Records one carrier; each round lasts until an error, or until another recorder takes over."""

    def __init__(self, preparing: Preparing, clock: Clock, holder: str) -> None:
        """`holder` names this recorder, and no other one."""
        self.told = Told()
        self._preparing = preparing
        self._clock = clock
        self._holder = holder
        self._held: Held | None = None
        self._sweeping = Sweeping(preparing, self._holding, self._until)
        self._all_due = 0.0
        self._services = Services(_log, f"recorder of carrier {preparing.name}")
        self._service: Service | None = None

    def start(self) -> None:
        """Record from now on, whatever befalls the database or the carrier."""
        self._service = self._services.start("feed", self.round)

    async def stop(self) -> None:
        """Record no further, and let another recorder go on at once."""
        await self._services.stop()
        with contextlib.suppress(RecordsUnavailableError, ConfigError):
            await release(self._preparing.store, self._preparing.name, self._holder)

    async def round(self) -> float:
        """Record until another recorder has taken the feed over; return after how many seconds to try again."""
        preparing = self._preparing
        self._held = await take(
            preparing.store, preparing.name, self._holder, now_ms=self._clock.now_ms(), ttl_ms=HELD_MS
        )
        self.told.holding = self._held is not None
        if self._held is None:
            return STANDBY
        try:
            if preparing.carrier.capabilities.events:
                await self._follow()
                return 0.0  # the carrier was closed, or its store replaced
            return await self._look()
        except FeedLostError:
            self.told.holding = False
            return 0.1

    # --- a carrier with events ----------------------------------------------------------------------------------

    async def _follow(self) -> None:
        carrier, held = self._preparing.carrier, self._holding()
        self._preparing.begin()
        if held.cursor == UNREAD:
            end = await carrier.events_end()
            await self._sweeping.all()
            await self._moved(end)
        elif not await carrier.events_kept(held.cursor):
            await self._mend()
        async with EventReader(carrier, self._holding().cursor) as reader:
            writing: asyncio.Task[None] | None = None
            gather = GATHER
            try:
                while True:
                    events = await reader.take(BATCH, within=BEAT, gather=gather)
                    gather = GATHER_BUSY if len(events) > BUSY else GATHER
                    self._lag(events, reader)
                    rows = await self._preparing.rows(events, self._clock.now_ms()) if events else None
                    if writing is not None:
                        # The next batch was read while this one was written.
                        await writing
                    writing = asyncio.create_task(self._write(events, rows, reader.oldest_ms))
                    if len(events) < BATCH:
                        await writing
                        writing = None
                    self._lag((), reader)
                    if reader.missed:
                        if writing is not None:
                            await writing
                            writing = None
                        await self._mend()
                        reader.missed = False
                    self._well()
            finally:
                if writing is not None:
                    await ended(writing)

    async def _write(self, events: Sequence[Event], rows: Rows | None, waits_ms: int | None) -> None:
        """Write a batch, and move the cursor behind it; without one say that all is recorded up to now."""
        held, now = self._holding(), self._clock.now_ms()
        last = events[-1] if events else None
        async with self._preparing.store.writing() as connection:
            moved = await advance(
                connection,
                held,
                held.cursor if last is None else last.cursor,
                seen_ms=now if waits_ms is None else waits_ms,
                until_ms=now + HELD_MS,
                at_ms=None if last is None else last.at_ms,
            )
            if rows is not None:
                await write(connection, rows)
        self._held = moved
        self.told.recorded += len(events)

    async def _mend(self) -> None:
        """Events were dropped before they were recorded: read what became of the jobs from the carrier."""
        self.told.gaps += 1
        await self._moved(self._holding().cursor, gaps=1)
        await self._sweeping.all()

    async def _moved(self, cursor: str, gaps: int = 0) -> None:
        now = self._clock.now_ms()
        async with self._preparing.store.writing() as connection:
            self._held = await advance(
                connection, self._holding(), cursor, seen_ms=now, until_ms=now + HELD_MS, gaps=gaps
            )

    # --- a carrier without --------------------------------------------------------------------------------------

    async def _look(self) -> float:
        loop = asyncio.get_running_loop()
        if self._holding().cursor == UNREAD or loop.time() >= self._all_due:
            written = await self._sweeping.all()
            self._all_due = loop.time() + POLL_ALL
        else:
            written = await self._sweeping.latest()
            written += await self._sweeping.begun()
        self.told.recorded += written
        self.told.behind_ms = 0
        await self._moved(_MARK)
        return POLL

    # --- what is told -------------------------------------------------------------------------------------------

    def _lag(self, taken: Sequence[Event], reader: EventReader) -> None:
        oldest = taken[0].at_ms if taken else reader.oldest_ms
        self.told.behind_ms = 0 if oldest is None else max(0, self._clock.now_ms() - oldest)

    def _well(self) -> None:
        if self._service is not None:
            self._service.went_well()

    def _holding(self) -> Held:
        if self._held is None:
            msg = "the feed is not held"
            raise FeedLostError(msg)
        return self._held

    def _until(self) -> int:
        return self._clock.now_ms() + HELD_MS
