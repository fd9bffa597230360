"""Steps of roll-outs by requests: a platform that freezes a receiver between them stops its loops as well."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LATE: Final = 1.0  # seconds: the loop was not frozen until then, only busy
_PATIENCE: Final = 1.0  # seconds for which a request waits for the step that it brings


class Stepping:
    """Plays the rounds of a controller: in a loop, and with a request where that is late. One at a time."""

    def __init__(self, play: Callable[[], Awaitable[float]]) -> None:
        """`play` returns the seconds until its next round is due."""
        self._play = play
        self._due = time.monotonic()
        self._playing = asyncio.Lock()

    async def round(self) -> float:
        """Play a round, unless a request has just played one; return the seconds until the next."""
        async with self._playing:
            left = self._due - time.monotonic()
            if left > 0:
                return left
            pause = await self._play()
            self._due = time.monotonic() + pause
            return pause

    @property
    def late(self) -> bool:
        """True when a round is due for so long that the loop must have stood still."""
        return time.monotonic() > self._due + _LATE and not self._playing.locked()

    async def step(self) -> None:
        """Play a round that is late, within a second. What it raises is for the loop to say, which tries again."""
        with contextlib.suppress(HeadwayError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self.round()
