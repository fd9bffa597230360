"""Where the schedules of an app are known, and which fire times have become jobs."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headway.brokers.base import ScheduleRecord
from headway.errors import BrokerRefusedError, BrokerUnavailableError, CodecError
from headway.guards.base import Entry, read_data
from headway.job import JobId
from headway.raised import in_one_line
from headway.schedules.fires import check_fire, last_fire
from headway.service import Remarks
from headway.storage.redis.replies import ServerRefusesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.guards.base import GuardStore
    from headway.guards.storeclock import StoreClock
    from headway.job import Fire, NewJob

_log = logging.getLogger("headway.guard")

_GROUP: Final = ":schedule"
_TRIES: Final = 20


class Kept(Struct, frozen=True, omit_defaults=True):
    """A schedule, and the fire time whose job is being created: it counts once that job exists."""

    name: str
    declared: bool = False
    spec: str = ""
    task: str = ""
    paused: bool = False
    last_fire_ms: int | None = None
    last_job: JobId | None = None
    declared_ms: int = 0
    pending_ms: int | None = None
    pending_job: JobId | None = None


class Fired(Struct, frozen=True):
    """The job of a fire time. Not `confirmed`: the process that reserved it may have died before it created the job."""

    id: JobId
    confirmed: bool


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Kept).decode


class Schedules:
    """The schedules of an app, in the guard's store. An entry that cannot be read is named and passed over.

    A declaration writes it anew: then the schedule owes nothing for the time before.
    """

    def __init__(self, store: GuardStore, clock: StoreClock) -> None:
        self._store = store
        self._clock = clock
        self._remarks = Remarks(_log, "schedules")

    async def declare(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Make these known, and forget the others but for their last fire: it must not come twice."""
        wanted = {schedule.name: schedule for schedule in schedules}
        for kept in await self._all():
            if kept.declared and kept.name not in wanted:
                await self._declare(kept.name, lambda old: replace(old, declared=False, paused=False))
        for schedule in schedules:
            await self._declare(schedule.name, partial(_declared, schedule))

    async def _declare(self, name: str, step: Callable[[Kept], Kept]) -> None:
        """Change one of many: one that the store does not take is named and passed over."""
        try:
            await self._change(name, step, anew=True)
        except ServerRefusesError:
            raise
        except BrokerRefusedError as error:
            self._remarks.say(f"schedule {name!r}", f"cannot be declared: {in_one_line(error)}")

    async def read(self) -> list[ScheduleRecord]:
        """Return the declared ones, sorted by name."""
        return [
            ScheduleRecord(
                name=kept.name,
                spec=kept.spec,
                task=kept.task,
                paused=kept.paused,
                last_fire_ms=kept.last_fire_ms,
                declared_ms=kept.declared_ms,
            )
            for kept in sorted(await self._all(), key=lambda kept: kept.name)
            if kept.declared
        ]

    async def pause(self, name: str, *, paused: bool) -> bool:
        """Pause or resume; false when there is no such schedule."""
        changed = await self._change(
            name, lambda old: replace(old, paused=paused) if old.declared else None, create=False
        )
        return changed is not None

    async def skip(self, fire: Fire) -> None:
        """Mark the fire time as done without a job; of one in the future, all up to now."""
        now = self._clock.now_ms()
        at_ms = min(fire.at_ms, now)

        def step(old: Kept) -> Kept | None:
            last = last_fire(old.last_fire_ms, now)
            if last is not None and last >= at_ms:
                return None
            return replace(old, last_fire_ms=at_ms, last_job=None, pending_ms=None, pending_job=None)

        await self._change(fire.schedule, step)

    async def last_fires(self, names: Sequence[str]) -> list[int | None]:
        """Return the last fire time of each, declared or not. One command."""
        entries = await self._store.read([_entry_key(name) for name in names], now_ms=self._clock.now_ms())
        kept = [self._kept(entry, anew=True) for entry in entries]
        return [None if one is None else one.last_fire_ms for one in kept]

    async def forget_from(self, name: str, at_ms: int) -> None:
        """Let the last fire of a schedule be forgotten from an instant on, unless it is declared or fires again."""
        await self._change(name, lambda old: None if old.declared else old, create=False, forget_ms=at_ms)

    async def find(self, jobs: Sequence[NewJob]) -> list[Fired | None]:
        """Return for each job that of the last fire of its schedule, when its own is not later. One command."""
        names = list({job.fire.schedule for job in jobs if job.fire is not None})
        if not names:
            return [None] * len(jobs)
        now = self._clock.now_ms()
        entries = await self._store.read([_entry_key(name) for name in names], now_ms=now)
        kept = {name: self._kept(entry, anew=False) for name, entry in zip(names, entries, strict=True)}
        return [_fired(job, job.fire, kept[job.fire.schedule], now) if job.fire else None for job in jobs]

    async def reserve_fire(self, job: NewJob, fire: Fire) -> tuple[JobId, bool]:
        """Return the id under which the fire's job is to be created, and whether that is a duplicate.

        BrokerRefusedError for a fire time that lies in the future of the store's clock, which is asked once a minute.

        As with keys, a reservation whose job was never created is handed on to the next call with the same fire time.
        """
        found: list[tuple[JobId, bool]] = []
        await (
            self._clock.confirm()
        )  # were it this host's that is ahead, all others would be silent until then
        now = self._clock.now_ms()
        check_fire(fire, now)

        def step(old: Kept) -> Kept | None:
            found.clear()
            last, pending = last_fire(old.last_fire_ms, now), last_fire(old.pending_ms, now)
            if last is not None and last >= fire.at_ms:
                found.append((old.last_job or job.id, True))
                return None
            if old.pending_ms == fire.at_ms and old.pending_job is not None:
                found.append((old.pending_job, False))
                return None
            if pending is not None and pending > fire.at_ms:
                found.append((old.pending_job or job.id, True))
                return None
            found.append((job.id, False))
            return replace(old, pending_ms=fire.at_ms, pending_job=job.id)

        await self._change(fire.schedule, step)
        return found[0]

    async def confirm_fire(self, job_id: JobId, fire: Fire) -> None:
        """The fire's job exists: the fire time is done."""
        now = self._clock.now_ms()

        def step(old: Kept) -> Kept | None:
            last = last_fire(old.last_fire_ms, now)
            if last is not None and last >= fire.at_ms:
                return None
            done = replace(old, last_fire_ms=fire.at_ms, last_job=job_id)
            return replace(done, pending_ms=None, pending_job=None) if old.pending_ms == fire.at_ms else done

        await self._change(fire.schedule, step)

    async def _change(
        self,
        name: str,
        step: Callable[[Kept], Kept | None],
        *,
        create: bool = True,
        anew: bool = False,
        forget_ms: int | None = None,
    ) -> Kept | None:
        """Change what is kept of a schedule; None: nothing was to be changed.

        `anew`: one that cannot be read counts as not there; without it CodecError names it.
        """
        for _ in range(_TRIES):
            now = self._clock.now_ms()
            [entry] = await self._store.read([_entry_key(name)], now_ms=now)
            if entry is None and not create:
                return None
            changed = step(self._kept(entry, anew=anew) or Kept(name))
            if changed is None:
                return None
            new = Entry(
                key=_entry_key(name),
                version=1 if entry is None else entry.version + 1,
                group=_GROUP,
                tag="",
                changed_ms=now,
                forget_ms=forget_ms,
                data=_encode(changed),
            )
            if entry is None:
                if await self._store.insert(new, now_ms=now) is None:
                    return changed
            elif await self._store.swap(new, now_ms=now):
                return changed
        msg = f"schedule {name!r}: its entry in the guard's store changed {_TRIES} times under a change made here"
        raise BrokerUnavailableError(msg)

    def _kept(self, entry: Entry | None, *, anew: bool) -> Kept | None:
        if entry is None:
            return None
        try:
            kept = read_data(entry, _decode)
        except CodecError as error:
            self._remarks.say(entry.key, in_one_line(error), level=logging.ERROR)
            if not anew:
                raise
            return None
        self._remarks.well(entry.key)
        return kept

    async def _all(self) -> list[Kept]:
        found: list[Kept] = []
        after: str | None = None
        while True:
            page = await self._store.page(
                groups=[_GROUP], tags=None, after=after, limit=500, now_ms=self._clock.now_ms()
            )
            found += [kept for entry in page.entries if (kept := self._kept(entry, anew=True)) is not None]
            after = page.cursor
            if after is None:
                return found


def _declared(new: ScheduleRecord, old: Kept) -> Kept:
    return replace(
        old,
        declared=True,
        spec=new.spec,
        task=new.task,
        paused=old.paused if old.declared else new.paused,
        last_fire_ms=new.last_fire_ms if old.last_fire_ms is None else old.last_fire_ms,
        declared_ms=new.declared_ms,
    )


def _fired(job: NewJob, fire: Fire, kept: Kept | None, now_ms: int) -> Fired | None:
    if kept is None:
        return None
    last, pending = last_fire(kept.last_fire_ms, now_ms), last_fire(kept.pending_ms, now_ms)
    if last is not None and last >= fire.at_ms:
        return Fired(kept.last_job or job.id, confirmed=True)
    if pending is not None and pending >= fire.at_ms and kept.pending_job is not None:
        return Fired(kept.pending_job, confirmed=False)
    return None


def _entry_key(name: str) -> str:
    return "schedule/" + name
