"""The time by which leases end: that of the guard's store, which all receivers share, where they differ from it.

A receiver goes by its own clock, for asking costs a command. It asks with its first job, when its clock was set
meanwhile, before it takes a lease for over, and before it makes the job of a fire time. So a clock that jumps, or is
off from the start, takes no job from a receiver that runs it, and fires no schedule before its time.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from headway.clock import SystemClock
from headway.errors import BrokerRefusedError
from headway.raised import in_one_line
from headway.service import Remarks

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.guards.base import GuardStore

_log = logging.getLogger("headway.guard")

_SET_MS: Final = 1000  # by which a clock goes on faster or slower than time before it counts as set
_DIFFERENT_MS: Final = 1000  # less is the way to the store and back
_GOOD_FOR_MS: Final = 60_000  # an answer


class StoreClock:
    """A clock for what the guard keeps. Where it is given another clock than the system's, that one has the say."""

    def __init__(self, store: GuardStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._follows = isinstance(clock, SystemClock)
        self._ahead_ms = 0  # of the store's clock before ours
        self._set_ms = self._drift_ms()
        self._asked_ms: int | None = None
        self._remarks = Remarks(_log, "guard")

    def now_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return self._clock.now_ms() + self._ahead_ms

    async def check(self) -> None:
        """Ask the store if our clock was set since it was last looked at, and once at all: it may always be wrong.

        BrokerUnavailableError as usual.
        """
        if not self._follows:
            return
        if self._asked_ms is None:
            await self._ask()
        elif abs(self._drift_ms() - self._set_ms) > _SET_MS:
            _log.warning(
                "the clock of this machine was set by %+.1f s", (self._drift_ms() - self._set_ms) / 1000
            )
            await self._ask()

    async def confirm(self) -> None:
        """Ask the store, unless that was done lately: something is to be taken for over."""
        asked = self._asked_ms
        if self._follows and (asked is None or _elapsed_ms() - asked > _GOOD_FOR_MS):
            await self._ask()

    async def _ask(self) -> None:
        try:
            there = await self._store.clock_ms()
        except BrokerRefusedError as error:
            self._remarks.say("the clock of its store", f"cannot be asked: {in_one_line(error)}")
            there = None
        ahead = 0 if there is None else there - self._clock.now_ms()
        self._ahead_ms = ahead if abs(ahead) > _DIFFERENT_MS else 0
        if self._ahead_ms:
            self._remarks.say(
                "the clock of this machine",
                f"is {-ahead / 1000:+.0f} s off that of the guard's store, which counts",
            )
        self._set_ms = self._drift_ms()
        self._asked_ms = _elapsed_ms()

    def _drift_ms(self) -> int:
        return self._clock.now_ms() - _elapsed_ms()


def _elapsed_ms() -> int:
    return time.monotonic_ns() // 1_000_000
