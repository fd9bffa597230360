"""Schedules, of the code and made at run time: listed, made, changed, deleted, paused, resumed, run now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from headway.runtime.scheduler import declare_schedules
from headway.schedules.schedule import ScheduleError
from headway.server.instants import Instant
from headway.server.services.creating import Created, CreateJob
from headway.server.services.job_views import plain
from headway.server.services.problems import InvalidError, NotFoundError
from headway.server.services.shared import check_everything

if TYPE_CHECKING:
    from headway.app.making import NewTimes, Times
    from headway.app.scheduleinfo import ScheduleInfo
    from headway.server.access.caller import Caller
    from headway.server.services.creating import Creating
    from headway.server.services.shared import Shared


class ScheduleView(Struct, frozen=True, kw_only=True):
    """A schedule. `made`: at run time; the others stand in the code, and cannot be changed here.

    `known`: a worker has made it known to the carrier; until then nothing fires. `problem`: why it makes no jobs.
    """

    name: str
    made: bool
    spec: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    paused: bool
    known: bool
    last_fire_at: Instant | None = None
    next_fire_at: Instant | None = None
    until: Instant | None = None
    problem: str = ""


class Timing(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a schedule fires: `cron` in `timezone` (UTC unless given), or `every` (`15m`).

    `first_fire`: not before then, and then in any case. `until`: not after then. `catch_up`: what becomes of fire times
    that were missed: `last` (one job), `all`, or `skip`.
    """

    cron: str | None = None
    every: str | None = None
    timezone: str | None = None
    catch_up: str | None = None
    first_fire: Instant | None = None
    until: Instant | None = None


class NewSchedule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A schedule to be made at run time: the job that it makes, and when."""

    name: str
    job: CreateJob
    when: Timing
    paused: bool = False


class ScheduleChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be new of a schedule that was made at run time; the rest stays."""

    job: CreateJob | None = None
    when: Timing | None = None


class Schedules:
    """The schedules of an app."""

    def __init__(self, shared: Shared, creating: Creating) -> None:
        self._shared = shared
        self._creating = creating

    async def list(self, caller: Caller) -> list[ScheduleView]:
        """Return all, sorted by name."""
        check_everything(caller, "schedules")
        return [_view(one) for one in await self._shared.app.schedules.list()]

    async def get(self, caller: Caller, name: str) -> ScheduleView:
        """Return one; NotFoundError. Of two of one name it is that in the code."""
        found = next((one for one in await self.list(caller) if one.name == name), None)
        if found is None:
            msg = f"there is no schedule {name!r}"
            raise NotFoundError(msg)
        return found

    async def create(self, caller: Caller, wish: NewSchedule) -> ScheduleView:
        """Make one at run time; every scheduler knows of it within 10 s.

        ScheduleConflictError when there is one of that name; InvalidError and the errors of a job that is made.
        """
        check_everything(caller, "schedules")
        job = self._creating.prepared(caller, wish.job)
        times: NewTimes = {**_times(wish.when), "paused": wish.paused}
        try:
            made = _view(await self._shared.app.schedules.create(wish.name, job, **times))
        except (ScheduleError, ValueError) as error:
            raise InvalidError(str(error)) from error
        await self._shared.audit.note(caller, "schedules.create", f"schedule {wish.name}", after=_noted(made))
        return made

    async def change(self, caller: Caller, name: str, wish: ScheduleChange) -> ScheduleView:
        """Change one made at run time. NotFoundError, InvalidError; ScheduleConflictError for one of the code."""
        before = await self.get(caller, name)
        job = None if wish.job is None else self._creating.prepared(caller, wish.job)
        times: Times = {} if wish.when is None else _times(wish.when)
        try:
            after = _view(await self._shared.app.schedules.change(name, job=job, **times))
        except (ScheduleError, ValueError) as error:
            raise InvalidError(str(error)) from error
        await self._shared.audit.note(
            caller, "schedules.change", f"schedule {name}", before=_noted(before), after=_noted(after)
        )
        return after

    async def delete(self, caller: Caller, name: str) -> ScheduleView:
        """Delete one that was made at run time; jobs that it has made stay. The errors are those of `change`."""
        before = await self.get(caller, name)
        if not await self._shared.app.schedules.delete(name):
            msg = f"there is no schedule {name!r}"
            raise NotFoundError(msg)
        await self._shared.audit.note(caller, "schedules.delete", f"schedule {name}", before=_noted(before))
        return before

    async def switch(self, caller: Caller, name: str, *, paused: bool) -> ScheduleView:
        """Pause or resume it; fire times that come while it is paused are dropped. NotFoundError."""
        before = await self.get(caller, name)
        if (
            not before.known
        ):  # declared in the code, and no worker has run since: made known as a worker would
            await declare_schedules(self._shared.app)
        schedules = self._shared.app.schedules
        await (schedules.pause(name) if paused else schedules.resume(name))
        act = "schedules.pause" if paused else "schedules.resume"
        await self._shared.audit.note(
            caller, act, f"schedule {name}", before={"paused": before.paused}, after={"paused": paused}
        )
        return await self.get(caller, name)

    async def run_now(self, caller: Caller, name: str) -> Created:
        """Enqueue its job now, beside its fire times. NotFoundError."""
        await self.get(caller, name)
        handle = await self._shared.app.schedules.run(name)
        record = await handle.record()
        await self._shared.audit.note(caller, "schedules.run", f"schedule {name}", after={"job": handle.id})
        return Created(handle.id, record.task, record.queue, handle.duplicate)


def _times(when: Timing) -> Times:
    given = {name: getattr(when, name) for name in when.__struct_fields__}
    times: Times = {name: value for name, value in given.items() if value is not None}  # type: ignore[assignment]
    return times


def _view(info: ScheduleInfo) -> ScheduleView:
    return ScheduleView(
        name=info.name,
        made=info.made,
        spec=info.spec,
        task=info.task,
        args=[plain(one) for one in info.args],
        kwargs={name: plain(value) for name, value in info.kwargs.items()},
        paused=info.paused,
        known=info.known,
        last_fire_at=info.last_fire,
        next_fire_at=info.next_fire,
        until=info.until,
        problem=info.problem,
    )


def _noted(view: ScheduleView) -> dict[str, Any]:
    noted: dict[str, Any] = to_builtins(view)
    return {name: noted[name] for name in ("spec", "task", "paused")}
