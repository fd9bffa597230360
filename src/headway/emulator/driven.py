"""What drives a dispatcher: by hand, turn by turn, or in the background by its clock."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import Collection

    from headway.clock import Clock

_log: Final = logging.getLogger("headway.emulator")

AGAIN_MS: Final = 60_000
"""After which an entry is looked at again that was passed over, as the emulator itself failed on it."""


class Driven(ABC):
    """Something that begins what is due, and says when it has to do so next."""

    def __init__(self, clock: Clock, name: str) -> None:
        """`name` is what the log calls it."""
        self._clock = clock
        self._wake = asyncio.Event()
        self._services = Services(_log, name)
        self._remarks = self._services.remarks

    @abstractmethod
    def dispatch_due(self) -> int:
        """Begin all that may go now, end what is past its deadline; return how many were begun."""

    @abstractmethod
    def next_ms(self) -> int | None:
        """Return the instant at which there is something to do next; None when nothing is planned."""

    @abstractmethod
    def _jobs(self) -> Collection[asyncio.Task[None]]:
        """Return what is under way."""

    @abstractmethod
    def _forget_jobs(self) -> None:
        """Take no more account of what is under way."""

    async def turn(self) -> int:
        """Begin all that may go now and wait until it is answered; return how many were begun."""
        begun = self.dispatch_due()
        await self.settled()
        return begun

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while jobs := self._jobs():
            await asyncio.wait(jobs)

    def start(self) -> None:
        """Begin what becomes due, until `close`."""
        self._services.start("dispatch", self._round)

    async def _round(self) -> float:
        self._wake.clear()
        self.dispatch_due()
        at = self.next_ms()
        pause = None if at is None else max(0.0, (at - self._clock.now_ms()) / 1000)
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass
        return 0.0

    async def close(self) -> None:
        """Break off what is under way; it is begun again when its state is loaded the next time."""
        await self._services.stop()
        jobs = list(self._jobs())
        self._forget_jobs()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
