"""How often somebody may call: requests a minute, counted in each server process by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from headway.clock import Clock

WINDOW_S: Final = 60
_MOST: Final = 10_000  # callers in one window


class Allowance(NamedTuple):
    """What is left to a caller in this window, and in how many seconds the next begins."""

    allowed: bool
    quota: int
    remaining: int
    seconds: int


class RateLimits:
    """Counts the requests of each caller in whole minutes."""

    def __init__(self, clock: Clock, quota: int) -> None:
        """`quota`: requests a minute of callers whose key names no other."""
        self._clock = clock
        self._quota = quota
        self._window = -1
        self._counts: dict[str, int] = {}

    def count(self, who: str, quota: int = 0) -> Allowance:
        """Count one request."""
        seconds = self._clock.now_ms() // 1000
        window = seconds // WINDOW_S
        if window != self._window:
            self._window = window
            self._counts.clear()
        quota = quota or self._quota
        counted = self._counts.get(who, 0)
        allowed = counted < quota and (who in self._counts or len(self._counts) < _MOST)
        if allowed:
            counted += 1
            self._counts[who] = counted
        return Allowance(allowed, quota, quota - counted, WINDOW_S - seconds % WINDOW_S)
