"""Schedules of an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headway.brokers.base import ScheduleRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.redis.call import Argument
    from headway.brokers.redis.session import Session


class _Stored(msgspec.Struct, frozen=True):
    spec: str
    task: str
    declared_ms: int = 0


async def declare(session: Session, schedules: Sequence[ScheduleRecord]) -> None:
    """Make these known, and no others."""
    parts: list[Argument] = []
    for one in schedules:
        parts += (one.name, msgspec.json.encode(_Stored(one.spec, one.task, one.declared_ms)))
    await session.run("schedules", *parts)


async def schedules(session: Session) -> list[ScheduleRecord]:
    """Return all, by name; damaged ones are left out."""
    stored, paused_raw, fires, *_ = await session.run("overview")
    paused = set(paused_raw)
    last = {name: int(text.partition(b"|")[0]) for name, text in zip(fires[::2], fires[1::2], strict=True)}
    found: list[ScheduleRecord] = []
    for name, text in zip(stored[::2], stored[1::2], strict=True):
        try:
            one = msgspec.json.decode(text, type=_Stored)
        except msgspec.MsgspecError:
            continue
        found.append(
            ScheduleRecord(
                name.decode(), one.spec, one.task, paused=name in paused, last_fire_ms=last.get(name),
                declared_ms=one.declared_ms,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: one.name)
