"""Schedules made at run time, in the carrier: read, changed, paused, deleted. It needs no code of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from headway.app.making import stored
from headway.brokers.base import MadeSchedule
from headway.errors import CodecError, ScheduleConflictError, ScheduleNotFoundError
from headway.schedules.made import Definition, decode_definition

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import ScheduleStore
    from headway.clock import Clock

    Step = Callable[[Definition | None], Definition]

_TRIES: Final = 10  # of a change, while others change the same schedule


class MadeSchedules:
    """Those of an app. Each change is made on the newest revision, should others change the same one at that time."""

    def __init__(self, carrier: ScheduleStore, clock: Clock) -> None:
        self._carrier = carrier
        self._clock = clock

    async def list(self) -> list[MadeSchedule]:
        """Return all but the deleted ones, sorted by name."""
        return [one for one in await self._carrier.made_schedules() if not one.deleted]

    async def find(self, name: str) -> Definition | None:
        """Return one; None: there is none. CodecError when it cannot be read."""
        old = await self._read(name)
        return None if old is None or old.deleted else _definition(name, old)

    async def change(self, name: str, step: Step) -> MadeSchedule:
        """Write what `step` makes of the one that is there (None: there is none); CodecError when it cannot be read."""
        return await self._write(name, step)

    async def put(self, name: str, step: Step, *, in_place: bool) -> MadeSchedule:
        """As `change`; there is probably none, so that is tried before all are read.

        One that is damaged counts as none. Unless `in_place`, ScheduleConflictError when there is one.
        """
        return await self._write(name, step, new=True, in_place=in_place)

    async def delete(self, name: str) -> bool:
        """Delete one; false when there is none."""
        for _ in range(_TRIES):
            old = await self._read(name)
            if old is None or old.deleted:
                return False
            gone = structs.replace(old, revision=self._revision(old.revision), body=b"")
            if await self._carrier.write_schedule(gone, expected=old.revision):
                return True
        raise _contended(name)

    async def switch(self, name: str, *, paused: bool) -> bool:
        """Pause or resume; false when there is none. What was missed meanwhile is not owed."""

        def step(old: Definition | None) -> Definition:
            there = required(name, old)
            if there.paused == paused:
                return there
            since = there.since_ms if paused else self._clock.now_ms()
            return structs.replace(there, paused=paused, since_ms=since)

        try:
            await self.change(name, step)
        except ScheduleNotFoundError:
            return False
        return True

    async def _write(
        self, name: str, step: Step, *, new: bool = False, in_place: bool = True
    ) -> MadeSchedule:
        for turn in range(_TRIES):
            old = None if new and not turn else await self._read(name)
            if old is not None and not old.deleted and not in_place:
                msg = f"schedule {name!r} was not made: there is one of that name; change it, or put this in its place"
                raise ScheduleConflictError(msg)
            made = self._next(name, old, step, may_be_damaged=new)
            if made is old or await self._carrier.write_schedule(
                made, expected=0 if old is None else old.revision
            ):
                return made
        raise _contended(name)

    def _next(self, name: str, old: MadeSchedule | None, step: Step, *, may_be_damaged: bool) -> MadeSchedule:
        """Return the next revision; the same object when nothing changes."""
        there: Definition | None = None
        if old is not None and not old.deleted:
            try:
                there = _definition(name, old)
            except CodecError:
                if not may_be_damaged:
                    raise
        definition = step(there)
        if old is None:
            return MadeSchedule(name, self._revision(0), stored(name, definition))
        if definition == there:
            return old
        return structs.replace(old, revision=self._revision(old.revision), body=stored(name, definition))

    async def _read(self, name: str) -> MadeSchedule | None:
        return next((one for one in await self._carrier.made_schedules() if one.name == name), None)

    def _revision(self, before: int) -> int:
        return max(before + 1, self._clock.now_ms())


def required(name: str, definition: Definition | None) -> Definition:
    """Return it; ScheduleNotFoundError when there is none."""
    if definition is None:
        msg = f"no schedule {name!r} was made at run time; the list of schedules tells of those there are"
        raise ScheduleNotFoundError(msg)
    return definition


def _definition(name: str, made: MadeSchedule) -> Definition:
    try:
        return decode_definition(made.body)
    except CodecError as error:
        msg = f"schedule {name!r}: {error}; delete it, or put another in its place"
        raise CodecError(msg) from error


def _contended(name: str) -> ScheduleConflictError:
    return ScheduleConflictError(
        f"schedule {name!r} was changed by others {_TRIES} times while it was to be changed here; try again"
    )
