"""Schedules of an app that were made at run time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.base import KEPT_DELETED_MS, MadeSchedule
from headway.brokers.redis.schedules import fire_time
from headway.service import Remarks

if TYPE_CHECKING:
    from headway.brokers.redis.session import Session

_MAX_DIGITS: Final = 18  # of a revision


class MadeSchedules:
    """Reads and writes them; an entry that is damaged is named once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._remarks = Remarks(logging.getLogger("headway.redis"), "schedules made at run time")

    async def read(self) -> list[MadeSchedule]:
        """Return all, sorted by name."""
        # Every supervisor asks every few seconds, and most apps have none: one command then, not a script of three.
        if not await self._session.command("EXISTS", f"{self._session.prefix}sch:made"):
            return []
        flat, fires = await self._session.run("made_schedules")
        found: list[MadeSchedule] = []
        for name, text, fire in zip(flat[::2], flat[1::2], fires, strict=True):
            revision, bar, body = text.partition(b"|")
            entry = f"schedule {name.decode(errors='backslashreplace')!r}"
            try:
                if not (bar and revision.isdigit() and len(revision) <= _MAX_DIGITS):
                    raise ValueError  # noqa: TRY301 - one remark for both
                made = MadeSchedule(
                    name.decode(), int(revision), body, None if fire is None else fire_time(fire)
                )
            except ValueError:
                self._remarks.say(entry, "is left out: its stored bytes are damaged")
            else:
                self._remarks.well(entry)
                found.append(made)
        return sorted(found, key=lambda one: one.name)

    async def write(self, made: MadeSchedule, expected: int) -> bool:
        """Keep it where the expected revision stands."""
        parts = (made.name, expected, made.revision, made.body, KEPT_DELETED_MS)
        return bool(await self._session.run("write_schedule", *parts))
