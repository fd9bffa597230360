"""Whether an answer is looked for before anybody sleeps for it.

The answer of a small call is there sooner than a sleeping thread is awake again, in a virtual machine above all. So
where call follows call, the next answer is looked for: to fall asleep and to be woken costs as much CPU. Not so for a
call that stands alone: the core is worth more to whoever is to run the job.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

EAGER: Final = 0.0002  # seconds: several times what a script takes for one job

make_way: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))
"""Let another thread or process run between two looks: with one core, the server itself."""


class Pace:
    """How closely the calls of one caller follow each other."""

    __slots__ = ("_answered",)

    def __init__(self) -> None:
        """No call was answered yet."""
        self._answered = float("-inf")

    def answered(self) -> None:
        """An answer came."""
        self._answered = time.perf_counter()

    def look_until(self) -> float:
        """Return the instant of time.perf_counter until which to look for the answer of a call sent now; 0: sleep."""
        now = time.perf_counter()
        return now + EAGER if now - self._answered < EAGER else 0.0


class Vigil:
    """Keeps a loop from sleeping while the answer of a lone call is about to come; all else goes on."""

    def __init__(self, awaited: Callable[[], object]) -> None:
        """`awaited` tells whether an answer is outstanding."""
        self._awaited = awaited
        self._pace = Pace()
        self._until = 0.0
        self.kept = False  # the loop is kept awake

    def answered(self) -> None:
        """An answer came."""
        self._pace.answered()

    def keep(self) -> None:
        """A lone call was sent, whose caller does nothing before its answer."""
        self._until = self._pace.look_until()
        if self._until and not self.kept:
            self.kept = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        if self._awaited() and time.perf_counter() < self._until:
            make_way()
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self.kept = False
