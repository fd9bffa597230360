"""A task with the schedule it was declared with."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from headway.app.options import NO_OPTIONS
from headway.app.task import Task
from headway.job import Fire, NewJob
from headway.schedules.schedule import CatchUp, Schedule


class ScheduledTask(Struct, frozen=True):
    """A declared schedule: when, which task, with which arguments, and what becomes of missed fire times."""

    name: str
    schedule: Schedule
    task: Task[Any, Any]
    catch_up: CatchUp
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    def check(self) -> None:
        """Raise what a call with these arguments would raise."""
        self.task.check(self.args, self.kwargs)

    def job_at(self, fire_ms: int) -> NewJob:
        """Make the job of a fire time; its key is the same wherever it is made."""
        return self.task.new_job(NO_OPTIONS, self.args, self.kwargs, Fire(self.name, fire_ms))

    def job_now(self) -> NewJob:
        """Make a job by hand, beside the fire times."""
        return self.task.new_job(NO_OPTIONS, self.args, self.kwargs)
