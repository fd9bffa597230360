"""Schedules of an app that were made at run time, in the guard's store, an entry each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.brokers.base import KEPT_DELETED_MS, MadeSchedule
from headway.errors import CodecError
from headway.guards.base import Entry, read_data
from headway.raised import in_one_line
from headway.service import Remarks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.guards.base import GuardStore
    from headway.guards.storeclock import StoreClock

    LastFires = Callable[[Sequence[str]], Awaitable[list[int | None]]]

_GROUP: Final = ":made"
_START: Final = "made/"


class _Kept(Struct, frozen=True):
    revision: int
    body: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Kept).decode


class MadeSchedules:
    """Reads and writes them. An entry that cannot be read is named once, and counts as not there."""

    def __init__(
        self,
        store: GuardStore,
        clock: StoreClock,
        last_fires: LastFires,
        forget_fire: Callable[[str, int], Awaitable[None]],
    ) -> None:
        """`last_fires` asks for those of several schedules; `forget_fire` lets one be forgotten from an instant on."""
        self._store = store
        self._clock = clock
        self._last_fires = last_fires
        self._forget_fire = forget_fire
        self._remarks = Remarks(logging.getLogger("headway.guard"), "schedules made at run time")

    async def read(self) -> list[MadeSchedule]:
        """Return all, sorted by name."""
        found: list[tuple[str, _Kept]] = []
        after: str | None = None
        while True:
            page = await self._store.page(
                groups=[_GROUP], tags=None, after=after, limit=500, now_ms=self._clock.now_ms()
            )
            found += [
                (entry.key.removeprefix(_START), kept)
                for entry in page.entries
                if (kept := self._kept(entry)) is not None
            ]
            after = page.cursor
            if after is None:
                break
        found.sort(key=lambda one: one[0])
        fires = await self._last_fires([name for name, _ in found]) if found else []
        return [
            MadeSchedule(name, kept.revision, kept.body, fire)
            for (name, kept), fire in zip(found, fires, strict=True)
        ]

    async def write(self, made: MadeSchedule, expected: int) -> bool:
        """Keep it where the expected revision stands."""
        now, key = self._clock.now_ms(), _START + made.name
        [entry] = await self._store.read([key], now_ms=now)
        before = None if entry is None else self._kept(entry)
        if before == _Kept(made.revision, made.body):
            return True
        if (0 if before is None else before.revision) != expected:
            return False
        forget = made.revision + KEPT_DELETED_MS if made.deleted else None
        new = Entry(
            key=key,
            version=1 if entry is None else entry.version + 1,
            group=_GROUP,
            tag="",
            changed_ms=now,
            forget_ms=forget,
            data=_encode(_Kept(made.revision, made.body)),
        )
        if entry is None:
            written = await self._store.insert(new, now_ms=now) is None
        else:
            written = await self._store.swap(new, now_ms=now)
        if written and forget is not None:
            await self._forget_fire(made.name, forget)
        return written

    def _kept(self, entry: Entry) -> _Kept | None:
        try:
            kept = read_data(entry, _decode)
        except CodecError as error:
            self._remarks.say(entry.key, in_one_line(error), level=logging.ERROR)
            return None
        self._remarks.well(entry.key)
        return kept
