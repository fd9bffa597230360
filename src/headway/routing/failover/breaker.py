"""A circuit breaker: whether a carrier is asked at all, by how its last calls ended. It asks nobody itself."""

from __future__ import annotations

import time
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST: Final = 1000  # failures that are counted at most: thresholds are far below


class BreakerState(StrEnum):
    """Whether calls are made."""

    CLOSED = "closed"  # they are
    OPEN = "open"  # none is: the carrier did not answer
    HALF_OPEN = (
        "half-open"  # a look was answered: calls are made, and the first without an answer opens it again
    )


class Thresholds(Struct, frozen=True):
    """When a breaker opens, and when the carrier is looked at again. Times are seconds."""

    errors: int = 3  # calls without an answer
    window: float = 30.0  # within so long
    timeout: float = 2.0  # a call that has had no answer for so long is given up
    pause: float = 5.0  # from one look to the next, while it is open


class Breaker:
    """The state of one carrier, as one process sees it. Refusals are answers: a carrier that says no is there."""

    def __init__(self, thresholds: Thresholds, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.thresholds = thresholds
        self.state = BreakerState.CLOSED
        self.why = ""
        """What the last call without an answer met; empty: there was none, or the breaker has closed since."""
        self.since = clock()
        """When the present state began, by the clock."""
        self.opened = clock()
        """When the outage began that goes on, or the last one did."""
        self.changes = 0
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=_MOST)
        self._look_at = 0.0

    @property
    def admits(self) -> bool:
        """Whether calls are to be made."""
        return self.state is not BreakerState.OPEN

    @property
    def look_due(self) -> bool:
        """Whether it is time to look if the carrier is back."""
        return self.state is BreakerState.OPEN and self._clock() >= self._look_at

    def failed(self, why: str) -> bool:
        """Note a call without an answer, or a look; return whether the breaker opened now that was closed."""
        now = self._clock()
        self.why = why
        if self.state is not BreakerState.CLOSED:
            self._open(now)
            return False
        failures = self._failures
        failures.append(now)
        while now - failures[0] > self.thresholds.window:
            failures.popleft()
        if len(failures) < self.thresholds.errors:
            return False
        self._open(now, first=True)
        return True

    def trip(self, why: str) -> bool:
        """Open at once: that the carrier is away is known otherwise. Return whether it was closed."""
        was_closed = self.state is BreakerState.CLOSED
        self.why = why
        self._open(self._clock(), first=was_closed)
        return was_closed

    def answered(self) -> bool:
        """Note a call with an answer; return whether the breaker closed now.

        While it is open nothing follows: such a call began before, and says nothing of what comes.
        """
        if self.state is not BreakerState.HALF_OPEN:
            return False
        self._enter(BreakerState.CLOSED, self._clock())
        self._failures.clear()
        self.why = ""
        return True

    def looked(self) -> None:
        """Note that the carrier answered a look: let calls go there again."""
        if self.state is BreakerState.OPEN:
            self._enter(BreakerState.HALF_OPEN, self._clock())

    def _open(self, now: float, *, first: bool = False) -> None:
        self._look_at = now + self.thresholds.pause
        if first:
            self.opened = now
        if self.state is not BreakerState.OPEN:
            self._enter(BreakerState.OPEN, now)

    def _enter(self, state: BreakerState, now: float) -> None:
        self.state = state
        self.since = now
        self.changes += 1
