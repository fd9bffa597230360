"""Schedules by HTTP."""

from __future__ import annotations

from msgspec import Struct

from headway.server.rest.operation import Call, Reply, operation
from headway.server.services.creating import Created
from headway.server.services.schedules import ScheduleView


class ScheduleList(Struct, frozen=True):
    """Schedules, sorted by name."""

    schedules: list[ScheduleView]


@operation(answer=ScheduleList)
async def list_schedules(call: Call) -> Reply:
    """List the schedules with their last and next fire times."""
    return Reply(ScheduleList(await call.state.services.schedules.list(call.caller)))


@operation(answer=ScheduleView)
async def get_schedule(call: Call) -> Reply:
    """Return one schedule."""
    return Reply(await call.state.services.schedules.get(call.caller, call.path["schedule"]))


@operation(answer=ScheduleView)
async def pause_schedule(call: Call) -> Reply:
    """Pause a schedule: fire times that come meanwhile are dropped."""
    return Reply(await call.state.services.schedules.switch(call.caller, call.path["schedule"], paused=True))


@operation(answer=ScheduleView)
async def resume_schedule(call: Call) -> Reply:
    """Resume a schedule, from its next fire time on."""
    return Reply(await call.state.services.schedules.switch(call.caller, call.path["schedule"], paused=False))


@operation(answer=Created, status=201)
async def run_schedule(call: Call) -> Reply:
    """Enqueue the job of a schedule now, beside its fire times."""
    created = await call.state.services.schedules.run_now(call.caller, call.path["schedule"])
    return Reply(created, headers={"location": f"/v1/jobs/{created.id}"})
