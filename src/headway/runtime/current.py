"""Which job the running code belongs to: a context variable that costs a job next to nothing.

Setting one for each job would copy the context each time, and make "did the job leave something in its context" a
comparison of contents. So the variable holds the *place* that runs one job after the other, and the place holds the
run. What a handler starts, and what may outlive it, is given a place of its own with that run alone.
"""

from __future__ import annotations

import contextvars
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.runtime.run import JobRun


class Place:
    """Where jobs run one after the other, or what one job has started."""

    __slots__ = ("run",)

    def __init__(self, run: JobRun | None = None) -> None:
        self.run = run


class CurrentRun:
    """The run whose handler the running code belongs to, also in tasks and threads that the handler started."""

    def __init__(self) -> None:
        self._place: ContextVar[Place | None] = ContextVar("headway_place", default=None)

    def get(self) -> JobRun | None:
        """Return it; None: this code belongs to no job."""
        place = self._place.get()
        return None if place is None else place.run

    def enter(self, run: JobRun | None = None) -> Place:
        """Make the present context a place; whoever runs jobs in it sets its `run`."""
        place = Place(run)
        self._place.set(place)
        return place

    def context(self) -> contextvars.Context:
        """Copy the present context for something that may outlive the present job: it goes on belonging to that."""
        context = contextvars.copy_context()
        context.run(self.enter, self.get())
        return context


current_run: Final = CurrentRun()
"""Of this thread and task."""
