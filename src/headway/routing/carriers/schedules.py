"""Schedules over several carriers: declared on all, and a fire time counts wherever it was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import ScheduleRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.routing.carriers.sides import Sides


async def schedules(sides: Sides) -> list[ScheduleRecord]:
    """Return all, sorted by name: paused where one carrier says so, with the last fire time of all."""
    known: dict[str, ScheduleRecord] = {}
    for some in await sides.each(lambda store: store.schedules()):
        for one in some:
            known[one.name] = _joined(known[one.name], one) if one.name in known else one
    return [known[name] for name in sorted(known)]


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
