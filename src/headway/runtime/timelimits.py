"""The ends of runs that take too long: softly at their limit, and without their consent some time after it."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Final

from headway.runtime.run import JobRun, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.job import Outcome
    from headway.runtime.outcomes import Outcomes
    from headway.runtime.slots import Slots

_LOOK_SECONDS: Final = 0.25
_PRECISE_BELOW: Final = 5.0  # seconds: shorter limits get a timer of their own
TO_SETTLE: Final = 1.0
"""Seconds that a worker has to give a run up itself, before its supervisor looks why it does not."""


class TimeLimits:
    """The time limits of one executor's runs.

    One look at all runs four times a second is cheaper than a timer for each.
    """

    def __init__(self, outcomes: Outcomes, slots: Slots | None, kill_after: float) -> None:
        """`kill_after`: seconds from the soft end to giving a run up."""
        self._outcomes = outcomes
        self._slots = slots
        self._kill_after = kill_after
        self._watched: set[JobRun] = set()
        self.bound: Callable[[JobRun, float], _TimeLimit] = functools.partial(_TimeLimit, self._watched)
        """Bounds what is done inside of this context manager; the time counts from the start of the run."""
        self.given_up: Callable[[JobRun, Outcome], None] = _forget
        """Called with a run that does not end, and the outcome it has nevertheless."""

    def look(self) -> float:
        """Stop runs whose time is over; return the seconds until the next look.

        Those that go on nevertheless are given up: a thread cannot be ended, and its job must have an outcome. With a
        supervisor the process is then replaced. It ends one whose loop is blocked, so that this look is never taken.
        """
        now = time.monotonic()
        for run in [run for run in self._watched if run.deadline <= now]:
            run.interrupt(Stop.TIMEOUT)
            run.late_since = run.late_since or now
            if now - run.late_since > self._kill_after and not run.given_up:
                self._give_up(run)
        return _LOOK_SECONDS

    def _give_up(self, run: JobRun) -> None:
        run.given_up = True
        what_next = "what it does goes on" if self._slots is None else "its process is replaced for it"
        outcome = self._outcomes.of_overdue(run, what_next)
        self._outcomes.log(run.delivery, outcome, time.monotonic() - run.started)
        if self._slots is not None:
            self._slots.abandon(run.slot)
        self.given_up(run, outcome)


class _TimeLimit:
    """The soft end of a run: a timer for short limits, a place among the watched runs for long ones."""

    __slots__ = ("_run", "_timeout", "_timer", "_watched")

    def __init__(self, watched: set[JobRun], run: JobRun, timeout: float) -> None:
        self._run = run
        self._timeout = timeout
        self._watched = watched
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._run.deadline = self._run.started + self._timeout
        if self._timeout < _PRECISE_BELOW:
            left = self._run.seconds_left(self._timeout)
            self._timer = asyncio.get_running_loop().call_later(left, self._end)
        else:
            self._watched.add(self._run)

    def _end(self) -> None:
        self._run.interrupt(Stop.TIMEOUT)
        self._watched.add(self._run)  # for the hard end

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._watched.discard(self._run)


def _forget(_run: JobRun, _outcome: Outcome) -> None: ...
