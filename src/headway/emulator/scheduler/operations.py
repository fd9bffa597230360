"""Every operation of Cloud Scheduler v1: its name over gRPC, its verb and path over REST, and what performs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.cloud import scheduler_v1

from headway.emulator.operations import Operation
from headway.emulator.wire import Empty

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.emulator.scheduler.service import SchedulerService
    from headway.emulator.wire import Message

SCHEDULER: Final = "google.cloud.scheduler.v1.CloudScheduler"

_LOCATION: Final = "projects/*/locations/*"
_JOB: Final = f"{_LOCATION}/jobs/*"


def operations(service: SchedulerService) -> list[Operation]:
    """Return the operations, bound to what performs them."""
    of_jobs = [
        _call("ListJobs", service.list_jobs)._replace(
            verb="GET", path=_LOCATION, into="parent", suffix="/jobs"
        ),
        _call("CreateJob", service.create_job)._replace(
            path=_LOCATION, into="parent", suffix="/jobs", body="job"
        ),
    ]
    of_one = [
        _call("GetJob", service.get_job)._replace(verb="GET"),
        _call("UpdateJob", service.update_job)._replace(verb="PATCH", into="job.name", body="job"),
        _call("DeleteJob", service.delete_job)._replace(verb="DELETE"),
        _call("PauseJob", service.pause_job)._replace(suffix=":pause", body="*"),
        _call("ResumeJob", service.resume_job)._replace(suffix=":resume", body="*"),
        _call("RunJob", service.run_job)._replace(suffix=":run", body="*"),
    ]
    return of_jobs + of_one


def _call(name: str, perform: Callable[[Any], Awaitable[Any]]) -> Operation:
    """Return a POST to a job, without a body, with the types of the client library around what performs it."""
    request = getattr(scheduler_v1, f"{name}Request")

    async def with_raw(message: Message) -> Message:
        answer = await perform(request.wrap(message))
        return Empty() if answer is None else type(answer).pb(answer)

    return Operation(SCHEDULER, name, request.pb(), with_raw, "POST", _JOB, "name")
