"""Reads the events of one carrier, for as long as the server runs, whatever happens to the carrier."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from headway.brokers.base import Store
    from headway.events import Event

_log: Final = logging.getLogger("headway.server")
_AGAIN: Final = 0.5  # seconds, where a stream ended that should not


class Source:
    """The stream of one carrier."""

    def __init__(self, name: str, store: Store, cursor: str, told: Callable[[str, Event], None]) -> None:
        """`told` hears of each event behind `cursor`, in their order."""
        self.name = name
        self.store = store
        self._cursor = cursor
        self._told = told
        self.services = Services(_log, f"events of carrier {name}")

    def start(self) -> None:
        """Begin to read."""
        self._service = self.services.start("events", self._read)

    async def stop(self) -> None:
        """Read no more."""
        await self.services.stop()

    async def _read(self) -> float:
        stream = cast("AsyncGenerator[Event, Any]", self.store.events(self._cursor))
        async with aclosing(stream) as events:
            async for event in events:
                self._service.went_well()
                self._cursor = event.cursor
                self._told(self.name, event)
        return _AGAIN
