"""A rate limiter: the generic cell rate algorithm, in one script.

Source: ITU-T Recommendation I.371, annex A (in its "virtual scheduling" form); also ATM Forum, Traffic Management 4.0.
For each key one instant is kept, the theoretical arrival time: when the next one would come if all came evenly spaced.
One that comes no more than the tolerance before it is allowed, and moves it on by the spacing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.cache.base import Allowed, Denied
from headway.cache.rate import checked_rate
from headway.storage.redis.server import load_script

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.storage.redis.server import RedisServer


class RedisLimiter:
    """A Limiter, see there."""

    def __init__(self, server: RedisServer, namespace: str, clock: Clock | None = None) -> None:
        """The server is opened with the first call. Without a `clock`, the server's is the one for all."""
        self._server = server
        self._prefix = f"hw:{{{namespace}}}:rate:"
        self._clock = clock

    async def limit(self, key: str, rate: str, *, cost: int = 1) -> Allowed | Denied:
        """See Limiter."""
        spacing, burst = checked_rate(rate, key, cost)
        now = "" if self._clock is None else self._clock.now_ms() * 1000
        words = (now, spacing, burst, cost)
        await self._server.open()
        answer: Any = await self._server.run(
            load_script("headway.cache", "limit"), (self._prefix + key,), words
        )
        allowed, number = answer.value
        return Allowed(int(number)) if allowed else Denied(int(number) / 1_000_000)

    async def reset(self, key: str) -> None:
        """See Limiter."""
        await self._server.open()
        await self._server.command("DEL", self._prefix + key)
