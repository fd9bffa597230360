"""Schedules: listed, paused, resumed, run now."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.clock import from_ms
from headway.job import Fire
from headway.runtime.scheduler import declare_schedules
from headway.schedules.schedule import ScheduleError, next_wake
from headway.server.services.creating import Created
from headway.server.services.problems import NotFoundError
from headway.server.services.shared import check_everything

if TYPE_CHECKING:
    from headway.brokers.base import ScheduleRecord
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared


class ScheduleView(Struct, frozen=True, kw_only=True):
    """A schedule. `known`: a worker has made it known to the carrier; until then nothing fires."""

    name: str
    spec: str
    task: str
    paused: bool
    known: bool
    last_fire_at: datetime | None = None
    next_fire_at: datetime | None = None


class Schedules:
    """The schedules of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def list(self, caller: Caller) -> list[ScheduleView]:
        """Return all, sorted by name."""
        check_everything(caller, "schedules")
        records = {record.name: record for record in await self._shared.carrier.schedules()}
        return [
            self._view(name, records.get(name)) for name in sorted({*records, *self._shared.app.schedules})
        ]

    async def get(self, caller: Caller, name: str) -> ScheduleView:
        """Return one; NotFoundError."""
        found = next((one for one in await self.list(caller) if one.name == name), None)
        if found is None:
            msg = f"there is no schedule {name!r}"
            raise NotFoundError(msg)
        return found

    async def switch(self, caller: Caller, name: str, *, paused: bool) -> ScheduleView:
        """Pause or resume it; fire times that come while it is paused are dropped. NotFoundError."""
        before = await self.get(caller, name)
        carrier = self._shared.carrier
        if (
            not before.known
        ):  # declared in the code, and no worker has run since: made known as a worker would
            await declare_schedules(self._shared.app)
        if not paused and before.paused:
            await carrier.skip_fire(Fire(name, self._shared.app.clock.now_ms()))
        await carrier.pause_schedule(name, paused=paused)
        act = "schedules.pause" if paused else "schedules.resume"
        await self._shared.audit.note(
            caller, act, f"schedule {name}", before={"paused": before.paused}, after={"paused": paused}
        )
        return await self.get(caller, name)

    async def run_now(self, caller: Caller, name: str) -> Created:
        """Enqueue its job now, beside its fire times; NotFoundError when it is not in the app's code."""
        check_everything(caller, "schedules")
        scheduled = self._shared.app.schedules.get(name)
        if scheduled is None:
            msg = f"the app has no schedule {name!r} whose job could be made"
            raise NotFoundError(msg)
        new = scheduled.job_now()
        accepted = await self._shared.app.accept(new)
        job_id = accepted.duplicate_of or accepted.id
        await self._shared.audit.note(caller, "schedules.run", f"schedule {name}", after={"job": job_id})
        return Created(job_id, new.task, new.queue, accepted.duplicate_of is not None)

    def _view(self, name: str, record: ScheduleRecord | None) -> ScheduleView:
        scheduled = self._shared.app.schedules.get(name)
        paused = record is not None and record.paused
        next_at = None
        if scheduled is not None and not paused:
            with suppress(ScheduleError):  # one without a next time is listed like the others
                next_at = next_wake(scheduled.schedule, None, from_ms(self._shared.app.clock.now_ms()))
        last_ms = None if record is None else record.last_fire_ms
        return ScheduleView(
            name=name,
            spec=str(scheduled.schedule) if scheduled is not None else record.spec if record else "",
            task=scheduled.task.name if scheduled is not None else record.task if record else "",
            paused=paused,
            known=record is not None,
            last_fire_at=None if last_ms is None else from_ms(last_ms),
            next_fire_at=next_at,
        )
