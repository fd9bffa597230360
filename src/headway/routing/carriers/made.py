"""Schedules made at run time over several carriers: each keeps a copy of all, and the later revision counts.

So none is lost when the app leaves a carrier, and one that is away stops none whose jobs go elsewhere. What a carrier
missed while it was away, a deletion included, it is told by whoever reads next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.errors import BrokerUnavailableError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import MadeSchedule
    from headway.routing.carriers.sides import Sides

    Copies = Mapping[str, MadeSchedule]  # by the names of the schedules

_MOST_COPIES: Final = 500  # written by one read: the next goes on


class MadeSchedules:
    """Those of an app on all its carriers."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self._unable: set[str] = set()  # carriers that keep none, such as Cloud Tasks without a guard

    async def read(self) -> list[MadeSchedule]:
        """Return the last revision of each, sorted by name; what a carrier lacks is written to it.

        Raises when all are away.
        """
        copies = await self._copies()
        newest = _newest(copies)
        left = _MOST_COPIES
        for side, its in copies.items():
            for made in newest.values():
                mine = its.get(made.name)
                if left and (mine is None or _rank(mine) < _rank(made)):
                    left -= 1
                    if not await self._copy(side, made, 0 if mine is None else mine.revision):
                        break
        return [newest[name] for name in sorted(newest)]

    async def write(self, made: MadeSchedule, expected: int) -> bool:
        """Keep it on all that can be reached. The first of them decides between two who write at once."""
        copies = await self._copies()
        newest = _newest(copies).get(made.name)
        if newest is not None and (newest.revision, newest.body) == (made.revision, made.body):
            return True
        if (0 if newest is None else newest.revision) != expected:
            return False
        decided = False
        for side, its in copies.items():
            mine = its.get(made.name)
            at = 0 if mine is None else mine.revision
            if decided:
                await self._copy(side, made, at)
            elif side not in self._unable:
                try:
                    if not await self._sides[side].write_schedule(made, expected=at):
                        return False
                except UnsupportedError:
                    self._unable.add(side)
                    continue
                decided = True
        if not decided:
            msg = "no carrier of this app that can be reached keeps schedules; Cloud Tasks does with a guard"
            raise UnsupportedError(msg)
        return True

    async def _copy(self, side: str, made: MadeSchedule, expected: int) -> bool:
        """Write a copy; false when this carrier is to be left alone for now."""
        if side in self._unable:
            return False
        try:
            await self._sides[side].write_schedule(made, expected=expected)
        except BrokerUnavailableError:
            return False
        except UnsupportedError:
            self._unable.add(side)
            return False
        return True

    async def _copies(self) -> dict[str, Copies]:
        """Return what each carrier that can be reached keeps, in their order."""
        names, stores = self._sides.names, self._sides.stores
        told = await asyncio.gather(*(store.made_schedules() for store in stores), return_exceptions=True)
        copies: dict[str, Copies] = {}
        away: BaseException | None = None
        for name, answer in zip(names, told, strict=True):
            if not isinstance(answer, BaseException):
                copies[name] = {one.name: one for one in answer}
            elif isinstance(answer, BrokerUnavailableError):
                away = answer
            else:
                raise answer
        if not copies and away is not None:
            raise away
        return copies


def _rank(made: MadeSchedule) -> tuple[int, bytes]:
    """Two of one revision were written while nobody could reach all carriers: then any rule will do that all have."""
    return made.revision, made.body


def _newest(copies: Mapping[str, Copies]) -> dict[str, MadeSchedule]:
    found: dict[str, MadeSchedule] = {}
    for its in copies.values():
        for made in its.values():
            known = found.get(made.name)
            if known is None:
                found[made.name] = made
                continue
            fires = [at for at in (known.last_fire_ms, made.last_fire_ms) if at is not None]
            newer = max(known, made, key=_rank)
            found[made.name] = replace(newer, last_fire_ms=max(fires, default=None))
    return found
