"""Schedules made at run time: the guard keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.cloudtasks.schedules import NEEDED_FOR

if TYPE_CHECKING:
    from headway.brokers.base import MadeSchedule
    from headway.brokers.cloudtasks.guard import Keeping


class MadeSchedules:
    """Reads and writes them."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping

    async def read(self) -> list[MadeSchedule]:
        """Return those made at run time; none without a guard."""
        if await self._keeping.store() is None:
            return []
        guard = await self._keeping.guard(NEEDED_FOR)
        return await guard.made_schedules()

    async def write(self, made: MadeSchedule, expected: int) -> bool:
        """Keep one made at run time, where the expected revision stands."""
        guard = await self._keeping.guard(NEEDED_FOR)
        return await guard.write_schedule(made, expected)
