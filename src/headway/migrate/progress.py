"""How far a long command is: counted, with the rate of the last seconds and the time that is left."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW_S: Final = 5.0
_PAUSE_S: Final = 0.2


class Progress(Struct, frozen=True):
    """`done` of about `total` jobs, at `rate` a second; `left_s` seconds are left, None where nobody can say."""

    done: int
    total: int
    rate: float
    left_s: float | None


class Meter:
    """Counts, and tells now and then."""

    def __init__(
        self, told: Callable[[Progress], None] | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`told` is called at most five times a second."""
        self.total = 0
        self._told = told
        self._clock = clock
        self._done = 0
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def add(self, count: int) -> None:
        """Count some more."""
        self._done += count
        now = self._clock()
        if now - self._marks[-1][0] < _PAUSE_S:
            return
        self._marks.append((now, self._done))
        while now - self._marks[0][0] > _WINDOW_S and len(self._marks) > 2:  # noqa: PLR2004 - a span needs two
            self._marks.popleft()
        if self._told is not None:
            self._told(self.now())

    def now(self) -> Progress:
        """Return how far it is."""
        first, last = self._marks[0], self._marks[-1]
        span = last[0] - first[0]
        rate = (last[1] - first[1]) / span if span > 0 else 0.0
        left = max(self.total - self._done, 0)
        return Progress(self._done, max(self.total, self._done), rate, left / rate if rate else None)
