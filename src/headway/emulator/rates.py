"""How fast a queue may dispatch: a token bucket, slowed down while the target answers 429 or 503."""

from __future__ import annotations

import math
from typing import Final

_SLOWEST: Final = 1 / 64
_SLOWER: Final = 0.5
_FASTER: Final = 1.25


class TokenBucket:
    """Up to `burst` tokens, refilled at `per_second`: within any t seconds at most burst + rate x t go."""

    def __init__(self, per_second: float, burst: int, now_ms: int) -> None:
        """Begin full."""
        self._rate = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._at_ms = now_ms

    def configure(self, per_second: float, burst: int, now_ms: int) -> None:
        """Take new limits from now on; what was saved up beyond the new burst is lost."""
        self._refill(now_ms)
        self._rate = per_second
        self._burst = burst
        self._tokens = min(self._tokens, float(burst))

    def take(self, now_ms: int) -> bool:
        """Take a token if there is one."""
        self._refill(now_ms)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def next_ms(self, now_ms: int) -> int:
        """Return the instant at which there is a token: `now_ms` when there is one already."""
        self._refill(now_ms)
        if self._tokens >= 1:
            return now_ms
        return now_ms + max(1, math.ceil((1 - self._tokens) / self._rate * 1000))

    def _refill(self, now_ms: int) -> None:
        if now_ms <= self._at_ms:
            return  # a clock that was set back gives no tokens
        # Rounding upwards in `next_ms` may leave the sum a hair below one.
        gained = (now_ms - self._at_ms) / 1000 * self._rate
        self._tokens = min(float(self._burst), round(self._tokens + gained, 9))
        self._at_ms = now_ms


class Throttle:
    """The service's slowing down: each 429 or 503 halves the rate, down to 1/64; each success adds a quarter."""

    def __init__(self, *, enabled: bool = True) -> None:
        """Begin at full speed."""
        self._enabled = enabled
        self.factor = 1.0

    def note(self, *, overloaded: bool) -> bool:
        """Take an answer into account; tell whether the rate changed."""
        if not self._enabled:
            return False
        before = self.factor
        self.factor = max(_SLOWEST, before * _SLOWER) if overloaded else min(1.0, before * _FASTER)
        return self.factor != before
