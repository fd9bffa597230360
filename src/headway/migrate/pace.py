"""At most so many jobs a second, evenly: a team that migrates by day spares both systems."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_RATE: Final = re.compile(r"(\d{1,9})(?:/(s|m|h))?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def parse_rate(text: str) -> float:
    """Return jobs per second of `500/s`, `500` or `30/m`; ConfigError."""
    found = _RATE.fullmatch(text)
    if found is None or not int(found[1]):
        msg = f"--limit-rate must be a number of jobs and a unit, such as 500/s or 30/m; got {text!r}"
        raise ConfigError(msg)
    return int(found[1]) / _SECONDS[found[2] or "s"]


class Pace:
    """Lets so many pass; None lets all."""

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Begin with an even share, not with a burst."""
        self._rate = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def most(self, wanted: int) -> int:
        """Return how many may go together, so that nothing waits more than about a second."""
        return wanted if self._rate is None else max(1, min(wanted, int(self._rate)))

    async def passed(self, count: int) -> None:
        """Wait until so many more may have gone."""
        if self._rate is None:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now) + count / self._rate
        if self._free_at > now:
            await self._sleep(self._free_at - now)
