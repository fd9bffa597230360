"""Letting other processes of the host, and commands, see a breaker that is not closed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from headway.routing.failover.breaker import BreakerState
from headway.routing.failover.entries import SeenBreaker

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.routing.failover.carrier import SpooledCarrier
    from headway.routing.failover.spool import Spool

_AGAIN: Final = 5.0  # seconds


class Telling:
    """Tells of one breaker of this process."""

    def __init__(self, carrier: SpooledCarrier, spool: Spool, clock: Clock) -> None:
        self._carrier = carrier
        self._spool = spool
        self._clock = clock
        self._told = (0, 0.0)  # the breaker's changes, and when, on the monotonic clock

    async def tell(self) -> None:
        """Tell what is new, and every few seconds that it is still so."""
        breaker, now = self._carrier.breaker, time.monotonic()
        closed = breaker.state is BreakerState.CLOSED
        changes, told = self._told
        if changes == breaker.changes and (closed or now - told < _AGAIN):
            return
        now_ms = self._clock.now_ms()
        since_ms = now_ms - round((now - breaker.since) * 1000)
        seen = SeenBreaker(self._carrier.name, os.getpid(), breaker.state, since_ms, now_ms, breaker.why)
        await self._spool.note_breaker(seen, closed=closed)
        self._told = (breaker.changes, now)
