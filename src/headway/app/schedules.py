"""The schedules of an app: those in its code, by name, and those that are made, changed and deleted at run time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import structs

from headway.app.handle import JobHandle, SyncJobHandle
from headway.app.made import MadeSchedules, required
from headway.app.making import job_of, with_job, with_times, without_pause
from headway.app.scheduleinfo import ScheduleInfo, declared_info, made_info
from headway.clock import from_ms
from headway.errors import ScheduleConflictError
from headway.job import Fire
from headway.names import checked_name
from headway.schedules.made import Definition

if TYPE_CHECKING:
    import builtins  # in Schedules `list` is a method
    from collections.abc import Iterator
    from typing import Unpack

    from headway.app.interface import App
    from headway.app.making import NewTimes, TaskSource, Times
    from headway.app.portal import Portal
    from headway.app.prepared import PreparedJob
    from headway.app.scheduled import ScheduledTask
    from headway.brokers.base import MadeSchedule, ScheduleRecord, ScheduleStore
    from headway.clock import Clock
    from headway.job import NewJob

    class Source(App, TaskSource, Protocol):
        """An app, as its schedules are managed."""

        def check(self, job: NewJob) -> None:
            """Raise UnsupportedError when the carrier of a job cannot do what it asks."""
            ...


class Schedules(Mapping[str, "ScheduledTask"]):
    """As a mapping, the schedules that the code declares, by name; its methods concern those made at run time as well.

    They are kept by the carrier beside the jobs, and every scheduler knows of a change within 10 s. The app must be
    open on this loop.
    """

    __slots__ = ("_app", "_declared")

    def __init__(self, app: Source, declared: Mapping[str, ScheduledTask]) -> None:
        """Made by the app."""
        self._app = app
        self._declared = declared

    def __getitem__(self, name: str) -> ScheduledTask:
        """Return a schedule of the code."""
        return self._declared[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names of those in the code."""
        return iter(self._declared)

    def __len__(self) -> int:
        """Count those in the code."""
        return len(self._declared)

    @property
    def _made(self) -> MadeSchedules:
        return MadeSchedules(self._app.carrier, self._app.clock)

    async def list(self) -> builtins.list[ScheduleInfo]:
        """Return all schedules, of the code and made at run time, sorted by name."""
        records = {record.name: record for record in await self._app.carrier.schedules()}
        now = from_ms(self._app.clock.now_ms())
        names = {*records, *self._declared}
        found = [declared_info(name, self._declared.get(name), records.get(name), now) for name in names]
        found += [
            made_info(one, self._app, now, shadowed=one.name in names) for one in await self._made.list()
        ]
        return sorted(found, key=lambda one: (one.name, one.made))

    async def find(self, name: str) -> ScheduleInfo | None:
        """Return what is known of one; None: there is none. Of two of one name it is that in the code."""
        return next((one for one in await self.list() if one.name == name), None)

    async def create(self, name: str, job: PreparedJob[Any], **times: Unpack[NewTimes]) -> ScheduleInfo:
        """Make a schedule. `job` says what is run: `task.job(...)`, or `task.options(...).job(...)`, checked now.

        `cron` with `timezone` (UTC unless given), or `every`, as in `app.cron` and `app.every`. `first_fire`: not
        before then, and then in any case; the intervals of `every` count from it. One that has passed is still to come.
        `until`: not after then. ScheduleConflictError when there is one of that name; other errors say what is wrong.
        """
        paused = bool(times.get("paused"))
        made = structs.replace(self._defined(job, without_pause(times)), paused=paused)
        await self._refuse_declared(checked_name("schedule", name))
        return self._told(await self._made.put(name, lambda _: made, in_place=False))

    async def put(self, name: str, job: PreparedJob[Any], **times: Unpack[Times]) -> ScheduleInfo:
        """Make a schedule, or give one made at run time all of this instead. The arguments are those of `create`.

        One that is there and already so is left as it is: repeating the call changes nothing. A pause stays.
        """
        made = self._defined(job, times)

        def step(old: Definition | None) -> Definition:
            if old is None:
                return made
            new = structs.replace(made, paused=old.paused)
            return old if structs.replace(new, since_ms=old.since_ms) == old else new

        await self._refuse_declared(checked_name("schedule", name))
        return self._told(await self._made.put(name, step, in_place=True))

    async def change(
        self, name: str, *, job: PreparedJob[Any] | None = None, **times: Unpack[Times]
    ) -> ScheduleInfo:
        """Change what is given of a schedule made at run time; the rest stays.

        With other times (`cron` or `every`, with `timezone`, `first_fire` and `until`) it owes nothing for the time
        before. ScheduleNotFoundError when there is none of that name.
        """

        def step(old: Definition | None) -> Definition:
            new = required(name, old)
            if job is not None:
                new = self._with_job(new, job)
            return with_times(new, times, self._app.clock.now_ms()) if times else new

        await self._refuse_declared(name)
        return self._told(await self._made.change(name, step))

    async def delete(self, name: str) -> bool:
        """Delete a schedule made at run time; false when there is none. Jobs that it has made stay."""
        if await self._made.delete(name):
            return True
        await self._refuse_declared(name)
        return False

    async def pause(self, name: str) -> bool:
        """Pause a schedule, of the code or made at run time; false when there is none that is known.

        Fire times that come meanwhile are dropped.
        """
        return await self._switch(name, paused=True)

    async def resume(self, name: str) -> bool:
        """Resume a schedule, from the next fire time on; false when there is none that is known."""
        return await self._switch(name, paused=False)

    async def run(self, name: str) -> JobHandle[Any]:
        """Make a job of a schedule now, beside its fire times, also while it is paused; ScheduleNotFoundError."""
        if (scheduled := self._declared.get(name)) is not None:
            job = scheduled.job_now()
        else:
            job = job_of(self._app, name, required(name, await self._made.find(name)), None)
        accepted = await self._app.accept(job)
        duplicate = accepted.duplicate_of is not None
        return JobHandle(self._app, accepted.duplicate_of or accepted.id, duplicate=duplicate)

    async def _switch(self, name: str, *, paused: bool) -> bool:
        if name in self._declared or await self._known(name) is not None:
            return await switch_declared(self._app.carrier, self._app.clock, name, paused=paused)
        return await self._made.switch(name, paused=paused)

    def _defined(self, job: PreparedJob[Any], times: Times) -> Definition:
        blank = self._with_job(Definition("", b"", 0), job)
        return with_times(blank, times, self._app.clock.now_ms())

    def _with_job(self, definition: Definition, job: PreparedJob[Any]) -> Definition:
        """Refuse now what the carrier would refuse at each fire time."""
        changed = with_job(self._app, definition, job)
        self._app.check(job.new)
        return changed

    def _told(self, made: MadeSchedule) -> ScheduleInfo:
        return made_info(made, self._app, from_ms(self._app.clock.now_ms()), shadowed=False)

    async def _known(self, name: str) -> ScheduleRecord | None:
        return next((one for one in await self._app.carrier.schedules() if one.name == name), None)

    async def _refuse_declared(self, name: str) -> None:
        if name in self._declared or await self._known(name) is not None:
            msg = (
                f"schedule {name!r} stands in the code of this app, or of another version of it: change it there, "
                "or give this one another name"
            )
            raise ScheduleConflictError(msg)


async def switch_declared(carrier: ScheduleStore, clock: Clock, name: str, *, paused: bool) -> bool:
    """Pause or resume a schedule of the code; false when the carrier does not know it."""
    if not paused:
        now = clock.now_ms()
        for record in await carrier.schedules():
            if record.name == name and record.paused and (record.last_fire_ms or 0) < now:
                await carrier.skip_fire(Fire(name, now))  # where no scheduler ran meanwhile, nobody has yet
    return await carrier.pause_schedule(name, paused=paused)


class SyncSchedules:
    """The blocking twin of Schedules."""

    __slots__ = ("_own", "_portal")

    def __init__(self, own: Schedules, portal: Portal) -> None:
        """Made by the app."""
        self._own = own
        self._portal = portal

    def list(self) -> builtins.list[ScheduleInfo]:
        """Return all schedules; see `Schedules.list`."""
        return self._portal.call(self._own.list)

    def find(self, name: str) -> ScheduleInfo | None:
        """Return what is known of one; see `Schedules.find`."""
        return self._portal.call(self._own.find, name)

    def create(self, name: str, job: PreparedJob[Any], **times: Unpack[NewTimes]) -> ScheduleInfo:
        """Make a schedule; see `Schedules.create`."""
        return self._portal.call(self._own.create, name, job, **times)

    def put(self, name: str, job: PreparedJob[Any], **times: Unpack[Times]) -> ScheduleInfo:
        """Make a schedule, or give one all of this instead; see `Schedules.put`."""
        return self._portal.call(self._own.put, name, job, **times)

    def change(
        self, name: str, *, job: PreparedJob[Any] | None = None, **times: Unpack[Times]
    ) -> ScheduleInfo:
        """Change what is given; see `Schedules.change`."""
        return self._portal.call(self._own.change, name, job=job, **times)

    def delete(self, name: str) -> bool:
        """Delete a schedule made at run time; see `Schedules.delete`."""
        return self._portal.call(self._own.delete, name)

    def pause(self, name: str) -> bool:
        """Pause a schedule; see `Schedules.pause`."""
        return self._portal.call(self._own.pause, name)

    def resume(self, name: str) -> bool:
        """Resume a schedule; see `Schedules.resume`."""
        return self._portal.call(self._own.resume, name)

    def run(self, name: str) -> SyncJobHandle[Any]:
        """Make a job of a schedule now; see `Schedules.run`."""
        return SyncJobHandle(self._portal.call(self._own.run, name))
