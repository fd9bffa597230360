"""The record that the app's carrier keeps of a schedule, beside the job of Cloud Scheduler: paused and resumed with it.

Who pauses Cloud Scheduler alone has the fire times of the pause counted as missed, and made up for afterwards.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from headway.clock import from_ms, to_ms
from headway.errors import HeadwayError
from headway.job import Fire
from headway.schedules.schedule import CatchUp, due_fires

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from headway.app.app import Headway
    from headway.brokers.base import ScheduleRecord

_PATIENCE: Final = 5.0  # seconds, for what is only told
_NOT_PAUSED: Final = (
    "only Cloud Scheduler is paused, so fire times of the pause count as missed, and `catch_up` says which are made up "
    "for"
)
_NOT_RESUMED: Final = (
    "only Cloud Scheduler is resumed: if the record is paused no call makes a job, if not, `catch_up` says which fire "
    "times of the pause are made up for"
)


class Records:
    """The records of an app's schedules. `warn` hears of each that could not be reached, and what comes of that."""

    def __init__(self, app: Headway, unreached: HeadwayError | None, warn: Callable[[str], None]) -> None:
        """The app is open, unless `unreached` says why it could not be opened."""
        self._app = app
        self._unreached = unreached
        self._warn = warn

    async def pause(self, schedule: str) -> bool:
        """Pause; true when it was not. One that no receiver has made known yet owes nothing, and has no record."""
        try:
            record = await self._read(schedule)
            if record is None or record.paused:
                return False
            return await self._app.carrier.pause_schedule(schedule, paused=True)
        except HeadwayError as error:
            self._tell(schedule, _NOT_PAUSED, error)
            return False

    async def resume(self, schedule: str, *, was_paused: bool) -> bool:
        """Resume, and drop the fire times of the pause; true when the record was paused.

        `was_paused`: Cloud Scheduler's job was. Nobody looked after the schedule then, so nobody has dropped them yet.
        """
        try:
            record = await self._read(schedule)
            if record is None:
                return False
            if record.paused or was_paused:
                await self._drop_missed(record)
            return record.paused and await self._app.carrier.pause_schedule(schedule, paused=False)
        except HeadwayError as error:
            self._tell(schedule, _NOT_RESUMED, error)
            return False

    async def _read(self, schedule: str) -> ScheduleRecord | None:
        if self._unreached is not None:
            raise self._unreached
        return next((one for one in await self._app.carrier.schedules() if one.name == schedule), None)

    async def _drop_missed(self, record: ScheduleRecord) -> None:
        scheduled = self._app.schedules.get(record.name)
        if scheduled is None:  # nobody enqueues what is not declared
            return
        now = from_ms(self._app.clock.now_ms())
        since = record.declared_ms if record.last_fire_ms is None else record.last_fire_ms
        for fire in due_fires(scheduled.schedule, from_ms(since), now, CatchUp.LAST):
            await self._app.carrier.skip_fire(Fire(record.name, to_ms(fire)))

    def _tell(self, schedule: str, what: str, error: HeadwayError) -> None:
        self._warn(
            f"schedule {schedule}: its record cannot be reached ({error}): {what}. Do it again where the store of the "
            "receivers can be reached, with HEADWAY_GUARD set to it"
        )


@asynccontextmanager
async def open_records(
    app: Headway, warn: Callable[[str], None], *, needed: bool = True
) -> AsyncGenerator[Records]:
    """Open the app's carrier, if it is needed. Where it cannot be, Cloud Scheduler can be paused all the same."""
    async with AsyncExitStack() as stack:
        unreached: HeadwayError | None = None
        try:
            if needed:
                await stack.enter_async_context(app)
        except HeadwayError as error:
            unreached = error
        yield Records(app, unreached, warn)


async def made_at_run_time(app: Headway) -> int:
    """Count the schedules made at run time; 0 where no guard is set, or its store does not answer soon."""
    if not app.settings.guard:
        return 0
    try:
        async with asyncio.timeout(_PATIENCE), app:
            return sum(not one.deleted for one in await app.carrier.made_schedules())
    except (HeadwayError, TimeoutError):
        return 0
