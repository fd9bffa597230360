"""The schedules of an app: the guard keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import ScheduleRecord
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.job import Fire

NEEDED_FOR: Final = "an app with schedules"


class KeptSchedules:
    """A ScheduleStore over the guard."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping

    async def declare(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Make these known and forget all others. Without a guard, an app that declares none has nothing to forget."""
        if not schedules and await self._keeping.store() is None:
            return
        guard = await self._keeping.guard(NEEDED_FOR)
        await guard.declare_schedules(schedules)

    async def read(self) -> list[ScheduleRecord]:
        """Return all, sorted by name."""
        guard = await self._keeping.guard(NEEDED_FOR)
        return await guard.schedules()

    async def pause(self, name: str, *, paused: bool) -> bool:
        """Pause or resume; false when there is no such schedule."""
        guard = await self._keeping.guard(NEEDED_FOR)
        return await guard.pause_schedule(name, paused=paused)

    async def skip(self, fire: Fire) -> None:
        """Mark the fire time as done without a job."""
        guard = await self._keeping.guard(NEEDED_FOR)
        await guard.skip_fire(fire)
