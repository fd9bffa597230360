"""Which job the running code belongs to: a context variable that costs a job next to nothing.

Setting the variable for each job would copy the context each time, and make "did the job leave something in its
context" a comparison of contents. So it is set once, to a holder that is given one run after the other. What a handler
starts, and what may outlive it, is given a holder of its own with that run alone.
"""

from __future__ import annotations

import contextvars
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.runtime.run import JobRun


class RunHolder:
    """Holds the run of the present job: of the task that runs one job after the other, or of what one job started."""

    __slots__ = ("run",)

    def __init__(self, run: JobRun | None = None) -> None:
        self.run = run


class CurrentRun:
    """The run whose handler the running code belongs to, also in tasks and threads that the handler started."""

    def __init__(self) -> None:
        self._holder: ContextVar[RunHolder | None] = ContextVar("headway_run", default=None)

    def get(self) -> JobRun | None:
        """Return the run; None: this code belongs to no job."""
        holder = self._holder.get()
        return None if holder is None else holder.run

    def enter(self, run: JobRun | None = None) -> RunHolder:
        """Give the present context a holder of its own, and return it: its `run` is set for each job."""
        holder = RunHolder(run)
        self._holder.set(holder)
        return holder

    def context(self) -> contextvars.Context:
        """Copy the present context for something that may outlive the present job, and still belongs to it then."""
        context = contextvars.copy_context()
        context.run(self.enter, self.get())
        return context


current_run: Final = CurrentRun()
"""The run that the present thread and task belong to."""
