"""What a job may cost on average: a store that bills its commands is watched."""

from __future__ import annotations

import logging
from typing import Final

_log = logging.getLogger("headway.guard")

_LEAST_JOBS: Final = 100  # below them, connecting and the first use of each script would count for much


class Budget:
    """Warns once when the commands for each job exceed what they may be."""

    def __init__(self, commands_per_job: float) -> None:
        """0: there is no limit."""
        self._limit = commands_per_job
        self._is_told = False

    def check(self, commands: int, jobs: int) -> None:
        """Look at the mean of all jobs so far."""
        if self._is_told or not self._limit or jobs < _LEAST_JOBS or commands <= self._limit * jobs:
            return
        self._is_told = True
        _log.warning(
            "the guard's store was sent %.1f commands for each of %d jobs; guard_budget is %g. A usual job takes two, "
            "and more go with progress, log lines, each third of a lease, idempotency keys and looking jobs up",
            commands / jobs,
            jobs,
            self._limit,
        )
