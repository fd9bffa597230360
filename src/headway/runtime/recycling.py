"""When a worker process has done enough, or grown too large, and is replaced by a new one."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.runtime.member import Member

_log = logging.getLogger("headway.supervisor")
_GROWS_FAST: Final = 60.0  # seconds: a process that reached the limit sooner makes the next one live longer
_FIRST_LIFE: Final = (
    5.0  # seconds that the process behind such a one lives at least; doubled up to the longest
)
_LONGEST_LIFE: Final = 300.0


class Recycling:
    """The limits of one group, and how often they were met."""

    def __init__(
        self, *, max_jobs: int, max_memory_mb: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """0 means no limit."""
        self._max_jobs = max_jobs
        self._max_memory_mb = max_memory_mb
        self._clock = clock
        self._least_life: dict[int, float] = {}  # seconds, by index
        self._warned = False

    def due(self, member: Member) -> str:
        """Say why the process is to be replaced now; an empty text: it is not."""
        if member.slots.abandoned:
            return "a job goes on in it past its time limit"
        if self._max_jobs and member.slots.done >= self._max_jobs:
            return f"it has done {member.slots.done} jobs"
        return self._outgrown(member) if self._max_memory_mb else ""

    def _outgrown(self, member: Member) -> str:
        memory = member.memory_mb
        if memory <= self._max_memory_mb or not member.claiming.is_set():
            return ""
        if member.first_memory_mb > self._max_memory_mb:
            # A new process would be above the limit from its start: no job would ever run.
            first = member.first_memory_mb
            self._warn(f"a worker takes {first:.0f} MB before its first job; none is replaced for its memory")
            return ""
        lived = self._clock() - member.born
        if lived < (least := self._least_life.get(member.index, 0.0)):
            self._warn(f"processes reach it within seconds; each lives at least {least:.0f} s")
            return ""
        self._least_life[member.index] = (
            min(max(_FIRST_LIFE, 2 * least), _LONGEST_LIFE) if lived < _GROWS_FAST else 0.0
        )
        return f"it takes {memory:.0f} MB"

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("max_memory_mb = %d is too low: %s", self._max_memory_mb, what)
