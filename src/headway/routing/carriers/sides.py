"""The carriers of an app by their names, and where a job is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from headway.job import mark_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from headway.brokers.base import Store
    from headway.job import JobId, JobRecord

T = TypeVar("T")

MOVED_TO: Final = "moved to "
"""How the reason of a record begins whose job goes on under the same id on another carrier, named behind it."""


class Sides:
    """Several carriers, at least one, in the order of the settings."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self.by_name = dict(stores)
        self.names = tuple(stores)
        self.stores = tuple(stores.values())
        self._marked: dict[str, tuple[str, ...]] = {}
        for name in self.names:
            mark = mark_of(name)
            self._marked[mark] = (*self._marked.get(mark, ()), name)

    def __getitem__(self, name: str) -> Store:
        """Return the carrier of that name."""
        return self.by_name[name]

    async def each(self, call: Callable[[Store], Awaitable[T]]) -> list[T]:
        """Make a call on all of them at once; the answers stand in their order. The first error is raised."""
        return list(await asyncio.gather(*(call(store) for store in self.stores)))

    async def records(self, ids: Sequence[JobId]) -> dict[JobId, tuple[str, JobRecord]]:
        """Return the jobs that are known, each with the name of its carrier.

        One call of one carrier where the ids say rightly where their jobs are; whatever was not found there is looked
        for on all others. A job on its way from one carrier to the next is known to both for a moment: the trace that
        it leaves counts only while nothing else is there.
        """
        found: dict[JobId, tuple[str, JobRecord]] = {}
        asked: dict[JobId, frozenset[str]] = {}
        first = {one: self._marked.get(one[-1:], self.names) for one in ids}
        await self._look(first, found)
        for one, names in first.items():
            asked[one] = frozenset(names)
        rest = {
            one: tuple(name for name in self.names if name not in asked[one])
            for one in first
            if one not in found or found[one][1].withdrawn
        }
        await self._look(rest, found)
        return found

    async def _look(
        self, wanted: Mapping[JobId, Iterable[str]], found: dict[JobId, tuple[str, JobRecord]]
    ) -> None:
        batches: dict[str, list[JobId]] = {}
        for one, names in wanted.items():
            for name in names:
                batches.setdefault(name, []).append(one)
        told = await asyncio.gather(*(self.by_name[name].get(some) for name, some in batches.items()))
        for (name, some), records in zip(batches.items(), told, strict=True):
            for one, record in zip(some, records, strict=True):
                if record is not None and (one not in found or found[one][1].withdrawn):
                    found[one] = (name, record)

    async def act(
        self, ids: Sequence[JobId], call: Callable[[Store, list[JobId]], Awaitable[Sequence[T]]], unknown: T
    ) -> list[T]:
        """Do something to jobs, each on its own carrier; `unknown` is the answer for those that none knows."""
        where = await self.records(list(dict.fromkeys(ids)))
        batches: dict[str, list[JobId]] = {}
        for one, (name, _) in where.items():
            batches.setdefault(name, []).append(one)
        told = await asyncio.gather(*(call(self.by_name[name], some) for name, some in batches.items()))
        answers = {
            one: answer
            for some, answers in zip(batches.values(), told, strict=True)
            for one, answer in zip(some, answers, strict=True)
        }
        return [answers.get(one, unknown) for one in ids]
