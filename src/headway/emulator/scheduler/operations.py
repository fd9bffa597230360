"""Every operation of Cloud Scheduler v1: its name over gRPC, its verb and path over REST, and what performs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from headway.emulator.operations import Operation
from headway.emulator.scheduler.wire import request_class
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
    one, every = f"{{name={_JOB}}}", f"{{parent={_LOCATION}}}/jobs"
    return [
        _call("ListJobs", service.list_jobs, "GET", every),
        _call("GetJob", service.get_job, "GET", one),
        _call("CreateJob", service.create_job, "POST", every, "job"),
        _call("UpdateJob", service.update_job, "PATCH", f"{{job.name={_JOB}}}", "job"),
        _call("DeleteJob", service.delete_job, "DELETE", one),
        _call("PauseJob", service.pause_job, "POST", f"{one}:pause", "*"),
        _call("ResumeJob", service.resume_job, "POST", f"{one}:resume", "*"),
        _call("RunJob", service.run_job, "POST", f"{one}:run", "*"),
    ]


def _call(
    name: str, perform: Callable[[Any], Awaitable[Any]], verb: str, rule: str, body: str = ""
) -> Operation:
    """Return the operation, with the types of the client library around what performs it."""
    request = request_class(f"{name}Request")

    async def with_raw(message: Message) -> Message:
        answer: Message = await perform(request.wrap(message))
        if answer is None:
            return Empty()
        kind = cast("Message", type(answer))
        return kind.pb(answer)

    return Operation(SCHEDULER, name, request.pb(), with_raw, verb, rule, body)
