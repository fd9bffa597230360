"""Schedules by HTTP."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from msgspec import Struct

from headway.server.rest.operation import Call, Reply, operation
from headway.server.services.creating import Created
from headway.server.services.schedules import NewSchedule, ScheduleChange, ScheduleView

_NIGHTLY: Final = {
    "name": "nightly-report",
    "job": {"task": "report", "args": ["night"]},
    "when": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"},
}


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


@operation(body=NewSchedule, answer=ScheduleView, status=201, example=_NIGHTLY)
async def create_schedule(call: Call) -> Reply:
    """Make a schedule at run time; every scheduler knows of it within 10 seconds."""
    made = await call.state.services.schedules.create(call.caller, call.body)
    return Reply(made, headers={"location": f"/v1/schedules/{quote(made.name, safe='')}"})


@operation(body=ScheduleChange, answer=ScheduleView, example={"when": {"every": "30m"}})
async def change_schedule(call: Call) -> Reply:
    """Change what is given of a schedule that was made at run time; one of the code is changed there."""
    return Reply(await call.state.services.schedules.change(call.caller, call.path["schedule"], call.body))


@operation(answer=ScheduleView)
async def delete_schedule(call: Call) -> Reply:
    """Delete a schedule that was made at run time, and return what it was; jobs that it has made stay."""
    return Reply(await call.state.services.schedules.delete(call.caller, call.path["schedule"]))


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
