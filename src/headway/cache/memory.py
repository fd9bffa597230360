"""A cache and a limiter in this process, for tests: they do what the others do, and nobody else sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headway.cache.base import Allowed, Denied
from headway.cache.rate import checked_rate
from headway.cache.values import checked_ttl_ms, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from headway.cache.base import Cache, Limiter
    from headway.clock import Clock

_SWEEP: Final = 1000  # values that are set between two looks for ended ones


class MemoryCache:
    """A Cache, see there."""

    def __init__(self, clock: Clock) -> None:
        """Empty."""
        self._clock = clock
        self._values: dict[str, tuple[str, int]] = {}  # the text, and the instant at which it ends
        self.commands = 0

    async def get(self, key: str, kind: Any = Any) -> Any:  # noqa: ANN401 - typed by the protocol
        """See Cache."""
        return (await self.get_many([key], kind))[0]

    async def get_many(self, keys: Sequence[str], kind: Any = Any) -> list[Any]:  # noqa: ANN401 - as get
        """See Cache."""
        self.commands += 1
        return [unpack(self._alive(key), kind) for key in keys]

    async def set(self, key: str, value: object, *, ttl: timedelta | float, only_new: bool = False) -> bool:
        """See Cache."""
        ttl_ms, text = checked_ttl_ms(ttl), pack(key, value)
        self.commands += 1
        if only_new and self._alive(key) is not None:
            return False
        now = self._clock.now_ms()
        if self.commands % _SWEEP == 0:
            self._values = {name: kept for name, kept in self._values.items() if kept[1] > now}
        self._values[key] = (text, now + ttl_ms)
        return True

    async def delete(self, *keys: str) -> int:
        """See Cache."""
        self.commands += 1
        there = [key for key in dict.fromkeys(keys) if self._alive(key) is not None]
        for key in there:
            del self._values[key]
        return len(there)

    def _alive(self, key: str) -> str | None:
        text, end = self._values.get(key, ("", 0))
        return text if end > self._clock.now_ms() else None


class MemoryLimiter:
    """A Limiter, see there; the algorithm is that of `lua/limit.lua`."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is taken yet."""
        self._clock = clock
        self._arrivals: dict[str, int] = {}

    async def limit(self, key: str, rate: str, *, cost: int = 1) -> Allowed | Denied:
        """See Limiter."""
        spacing, burst = checked_rate(rate, key, cost)
        now = self._clock.now_ms() * 1000
        moved = max(self._arrivals.get(key, 0), now) + spacing * cost
        early = moved - burst - now
        if early > 0:
            return Denied(early / 1_000_000)
        self._arrivals[key] = moved
        return Allowed(-early // spacing)

    async def reset(self, key: str) -> None:
        """See Limiter."""
        self._arrivals.pop(key, None)


class OpenMemoryCache:
    """The cache and the limiter in memory."""

    def __init__(self, clock: Clock) -> None:
        """They share nothing but the clock."""
        self.cache: Cache = MemoryCache(clock)
        self.limiter: Limiter = MemoryLimiter(clock)

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""
