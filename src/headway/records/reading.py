"""Reads the events of a carrier ahead of the writer, up to a bound; and notices when some were lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Self, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headway.brokers.base import Store
    from headway.events import Event

AHEAD: Final = 20_000
"""Events that are held at most while the database is slow; the others stay with their carrier."""
_LONG: Final = 1.0  # seconds of waiting, after which events may have been dropped meanwhile


class EventReader:
    """Events behind a cursor. An async context manager, which reads while it is open."""

    def __init__(self, carrier: Store, cursor: str) -> None:
        self._carrier = carrier
        self._cursor = cursor
        self._events: deque[Event] = deque()
        self._there = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None
        self.missed = False
        """True when events were dropped by the carrier before they were read; whoever mends that takes it back."""

    async def __aenter__(self) -> Self:
        """Begin to read."""
        self._task = asyncio.create_task(self._read(), name=f"events of {self._carrier.capabilities.name}")
        self._task.add_done_callback(lambda _: self._there.set())
        return self

    async def __aexit__(self, *error: object) -> None:
        """Read no further."""
        if self._task is not None:
            self._task.cancel()
            await ended(self._task)

    @property
    def oldest_ms(self) -> int | None:
        """The instant of the first event that waits to be taken; None: there is none."""
        return self._events[0].at_ms if self._events else None

    async def take(self, most: int, *, within: float, gather: float) -> list[Event]:
        """Return the next events, after `gather` seconds behind the first; none when none comes `within` seconds.

        Raises what reading raised, once all that was read before it is taken.
        """
        if not self._events:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._there.wait()
            if len(self._events) < most and self._events:
                await asyncio.sleep(gather)
        if not self._events and self._task is not None and self._task.done():
            self._task.result()
        taken = [self._events.popleft() for _ in range(min(most, len(self._events)))]
        if not self._events and not (self._task is not None and self._task.done()):
            self._there.clear()
        if len(self._events) < AHEAD:
            self._room.set()
        return taken

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        stream = cast("AsyncGenerator[Event]", self._carrier.events(self._cursor))
        async with aclosing(stream):
            async for event in stream:
                self._events.append(event)
                self._cursor = event.cursor
                self._there.set()
                if len(self._events) < AHEAD:
                    continue
                self._room.clear()
                since = loop.time()
                await self._room.wait()
                if loop.time() - since > _LONG and not await self._carrier.events_kept(self._cursor):
                    self.missed = True


async def ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task whose error is nobody's business any more."""
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
