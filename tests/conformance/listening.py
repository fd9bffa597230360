"""Listen to signals and events while a test acts, and wait for them with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType
    from typing import Self

    from headway.brokers.base import Carrier
    from headway.events import Event
    from tests.conformance.scene import Scene

DEADLINE_S: Final = 15.0  # generous: two shared cores; a sound carrier answers within milliseconds
_BEACON_QUEUE: Final = "beacon"
_BEACON_INTERVAL_S: Final = 0.05

T = TypeVar("T")


class Listener(Generic[T]):
    """Reads an asynchronous iterator in a task of its own, from entering the context until leaving it."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        """Listen to `source`."""
        self._source = source
        self._heard: asyncio.Queue[T | BaseException] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _read(self) -> None:
        try:
            async for item in self._source:
                self._heard.put_nowait(item)
            self._heard.put_nowait(AssertionError("the stream ended by itself"))
        except Exception as error:  # noqa: BLE001 - handed to the test, which waits in next()
            self._heard.put_nowait(error)

    async def next(self, within: float = DEADLINE_S) -> T:
        """Return the next item; TimeoutError when none comes in time."""
        async with asyncio.timeout(within):
            item = await self._heard.get()
        if isinstance(item, BaseException):
            raise item
        return item

    async def until(self, wanted: Callable[[T], bool]) -> list[T]:
        """Return the items up to and including the first wanted one."""
        items: list[T] = []
        while True:
            items.append(await self.next())
            if wanted(items[-1]):
                return items


async def settled_cursor(scene: Scene, carrier: Carrier | None = None) -> str:
    """Return a cursor of the event stream that lies before all that the test does next."""
    async with Listener((carrier or scene.carrier).events()) as listener:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await scene.put(scene.job(queue=_BEACON_QUEUE))
                with contextlib.suppress(TimeoutError):
                    return (await listener.next(within=_BEACON_INTERVAL_S)).cursor
    raise AssertionError


async def events_since(scene: Scene, cursor: str) -> list[Event]:
    """Return the events of the test's jobs since the cursor: last beacons prove that none is missing.

    Where jobs are in several places, so many that each place has one.
    """
    count = 1 if scene.carrier.capabilities.one_store else 24
    beacons = {await scene.put(scene.job(queue=_BEACON_QUEUE)) for _ in range(count)}

    def last(event: Event) -> bool:
        beacons.discard(event.job_id)
        return not beacons

    async with Listener(scene.carrier.events(after=cursor)) as listener:
        events = await listener.until(last)
    return [event for event in events if event.queue != _BEACON_QUEUE]
