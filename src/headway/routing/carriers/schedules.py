"""Schedules over several carriers: declared on all, and a fire time counts wherever it was accepted.

A carrier that is away stops no schedule whose jobs go to another: whether a fire time was accepted there is decided
there, and where a route led there before, the enqueue asks it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from headway.brokers.base import ScheduleRecord
from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.brokers.base import Store
    from headway.routing.carriers.sides import Sides

T = TypeVar("T")


class Schedules:
    """The schedules of an app on all its carriers."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self._owed: dict[str, Sequence[ScheduleRecord]] = {}  # what carriers that were away were not told

    async def declare(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Make these known on all carriers; on one that is away when the schedules are next read and it is back."""
        told = await self._reached(lambda store: store.declare_schedules(schedules))
        self._owed = {name: schedules for name in self._sides.names if name not in told}

    async def read(self) -> list[ScheduleRecord]:
        """Return all, sorted by name: paused where one carrier says so, with the last fire time of all."""
        for name, schedules in list(self._owed.items()):
            try:
                await self._sides[name].declare_schedules(schedules)
            except BrokerUnavailableError:
                continue
            del self._owed[name]
        known: dict[str, ScheduleRecord] = {}
        for some in (await self._reached(lambda store: store.schedules())).values():
            for one in some:
                known[one.name] = _joined(known[one.name], one) if one.name in known else one
        return [known[name] for name in sorted(known)]

    async def _reached(self, call: Callable[[Store], Awaitable[T]]) -> dict[str, T]:
        """Make a call on all carriers; return what those answered that can be reached. Raises when none can."""
        names, stores = self._sides.names, self._sides.stores
        told = await asyncio.gather(*(call(store) for store in stores), return_exceptions=True)
        answers: dict[str, T] = {}
        away: BaseException | None = None
        for name, answer in zip(names, told, strict=True):
            if not isinstance(answer, BaseException):
                answers[name] = answer
            elif isinstance(answer, BrokerUnavailableError):
                away = answer
            else:
                raise answer
        if not answers and away is not None:
            raise away
        return answers


def _joined(one: ScheduleRecord, other: ScheduleRecord) -> ScheduleRecord:
    fires: Sequence[int] = [at for at in (one.last_fire_ms, other.last_fire_ms) if at is not None]
    return ScheduleRecord(
        name=one.name,
        spec=one.spec,
        task=one.task,
        paused=one.paused or other.paused,
        last_fire_ms=max(fires, default=None),
        declared_ms=max(one.declared_ms, other.declared_ms),
    )
