"""Schedules of an app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from headway.brokers.base import ScheduleRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.call import Argument
    from headway.job import Fire


_MAX_DIGITS: Final = 18  # of an instant in milliseconds


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
    """Return all, sorted by name; a damaged one has its name alone, until its app declares it again."""
    stored, paused_raw, fires, *_ = await session.run("overview")
    paused = set(paused_raw)
    last = {name: fire_time(text) for name, text in zip(fires[::2], fires[1::2], strict=True)}
    found: list[ScheduleRecord] = []
    for name, text in zip(stored[::2], stored[1::2], strict=True):
        try:
            one = msgspec.json.decode(text, type=_Stored)
        except (ValueError, RecursionError):
            one = _Stored("", "")
        found.append(
            ScheduleRecord(
                name.decode(errors="backslashreplace"),
                one.spec,
                one.task,
                paused=name in paused,
                last_fire_ms=last.get(name),
                declared_ms=one.declared_ms,
            )
        )
    return sorted(found, key=lambda one: one.name)


async def pause(session: Session, name: str, *, paused: bool) -> bool:
    """Pause or resume; false when there is no such schedule."""
    return bool(await session.run("pause_schedule", name, int(paused)))


async def skip_fire(session: Session, fire: Fire) -> None:
    """Mark a fire time as done."""
    await session.run("skip_fire", fire.schedule, fire.at_ms)


def fire_time(text: bytes) -> int | None:
    """Read a last fire; None when it is damaged, as in the scripts."""
    digits = text.partition(b"|")[0]
    return int(digits) if len(digits) <= _MAX_DIGITS and digits.removeprefix(b"-").isdigit() else None
