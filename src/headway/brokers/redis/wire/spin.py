"""Spin-wait: a short busy wait for an answer, before the thread sleeps for it.

The server answers a small call sooner than a sleeping thread wakes up, in a virtual machine above all; and to fall
asleep and be woken costs as much CPU. So the wait spins where one call follows another closely. It does not for a call
that stands alone: the process that runs the job needs the core more.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

EAGER: Final = 0.0002  # seconds: how long to spin: several times what a script takes for one job

yield_cpu: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))
"""Let another thread or process run between two looks at the socket: with one core, the server itself."""


class Pace:
    """How closely the calls of one caller follow each other."""

    __slots__ = ("_answered",)

    def __init__(self) -> None:
        """No call was answered yet."""
        self._answered = float("-inf")

    def answered(self) -> None:
        """Note that an answer came."""
        self._answered = time.perf_counter()

    def look_until(self) -> float:
        """Return until when (time.perf_counter) to spin for the answer of a call sent now; 0: do not."""
        now = time.perf_counter()
        return now + EAGER if now - self._answered < EAGER else 0.0


class SpinWait:
    """Keeps an event loop from sleeping while the answer of a lone call is about to come; its other tasks go on."""

    def __init__(self, awaited: Callable[[], object]) -> None:
        """`awaited` tells whether an answer is outstanding."""
        self._awaited = awaited
        self._pace = Pace()
        self._until = 0.0
        self.spinning = False  # the loop is kept from sleeping

    def answered(self) -> None:
        """Note that an answer came."""
        self._pace.answered()

    def begin(self) -> None:
        """Spin, if calls follow each other closely: one was sent whose caller does nothing before its answer."""
        self._until = self._pace.look_until()
        if self._until and not self.spinning:
            self.spinning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        if self._awaited() and time.perf_counter() < self._until:
            yield_cpu()
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self.spinning = False
