"""A rate limiter: the generic cell rate algorithm, in one script.

Source: ITU-T Recommendation I.371, annex A (in its "virtual scheduling" form); also ATM Forum, Traffic Management 4.0.
For each key one instant is kept, the theoretical arrival time: when the next one would come if all came evenly spaced.
One that comes no more than the tolerance before it is allowed, and moves it on by the spacing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headway.cache.base import Allowed, Denied
from headway.config import parse_duration
from headway.errors import ConfigError
from headway.remote.base import load_script

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.remote.base import RedisServer

_RATE: Final = re.compile(r"\s*([1-9]\d{0,8})\s*/\s*(\S+)\s*")
_UNIT: Final = re.compile(r"(?:ms|s|m|h|d)")


class Rate(NamedTuple):
    """So many in each period."""

    limit: int
    period_us: int


def parse_rate(text: str) -> Rate:
    """Read `10/5s`, `100/1m` or `5/s`; ConfigError when it is none."""
    match = _RATE.fullmatch(text)
    if match is None:
        msg = f"rate {text!r}: write a number and a period, such as 10/5s or 100/1m"
        raise ConfigError(msg)
    period = f"1{match[2]}" if _UNIT.fullmatch(match[2]) else match[2]
    rate = Rate(int(match[1]), round(parse_duration(period, f"rate {text!r}") * 1_000_000))
    if rate.period_us < rate.limit:
        msg = f"rate {text!r}: more than one in a microsecond cannot be told apart"
        raise ConfigError(msg)
    return rate


class RedisLimiter:
    """A Limiter, see there."""

    def __init__(self, server: RedisServer, namespace: str, clock: Clock | None = None) -> None:
        """The server is opened with the first call. Without a `clock`, the server's is the one for all."""
        self._server = server
        self._prefix = f"hw:{{{namespace}}}:rate:"
        self._clock = clock

    async def limit(self, key: str, rate: str, *, cost: int = 1) -> Allowed | Denied:
        """See Limiter."""
        limit, period_us = parse_rate(rate)
        if not 1 <= cost <= limit:
            msg = f"rate {rate!r} of {key!r}: the cost must be 1 to {limit}, got {cost}"
            raise ConfigError(msg)
        now = "" if self._clock is None else self._clock.now_ms() * 1000
        spacing = period_us // limit
        words = (now, spacing, spacing * limit, cost)
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
