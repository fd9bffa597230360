"""The carriers of an app by their names, and where a job is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from headway.errors import BrokerUnavailableError
from headway.job import JobState, mark_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from headway.brokers.base import Store
    from headway.job import JobId, JobRecord

T = TypeVar("T")

MOVED_TO: Final = "moved to "
"""How the reason of a record begins whose job goes on under the same id on another carrier, named behind it."""

_ARRIVAL_S: Final = 2.0
"""How long an act waits for a job that is on its way: a move needs some milliseconds between leaving and arriving."""

_FIRST_PAUSE_S: Final = 0.01


class Sides:
    """Several carriers, at least one, in the order of the settings."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self.by_name = dict(stores)
        self.names = tuple(stores)
        self.stores = tuple(stores.values())
        self.marks = {name: mark_of(name) for name in self.names}
        self._marked: dict[str, tuple[str, ...]] = {}
        for name, mark in self.marks.items():
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
        it leaves counts only while nothing else is there, and then the job is shown as what it is, one that waits.
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
        # One that arrived where it was looked for first, and left the others before they were asked, is there now.
        await self._look(
            {one: first[one] for one, names in rest.items() if names and one not in found}, found
        )
        return {one: (name, _as_waiting(record)) for one, (name, record) in found.items()}

    async def arrived(self, ids: Sequence[JobId]) -> dict[JobId, tuple[str, JobRecord]]:
        """Return the jobs that are known, as `records` does, but none that is on its way: it is waited for.

        BrokerUnavailableError when one does not arrive, since the move that took it was interrupted.
        """
        pause = _FIRST_PAUSE_S
        waited = 0.0
        where = await self.records(ids)
        while late := [one for one, (_, record) in where.items() if record.withdrawn]:
            if waited >= _ARRIVAL_S:
                raise _lost_on_the_way(late[0], *where[late[0]])
            await asyncio.sleep(pause)
            waited += pause
            pause *= 2
            where |= await self.records(late)
        return where

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
        """Do something to jobs, each on its own carrier; `unknown` is the answer for those that none knows.

        BrokerUnavailableError when one of them left its carrier and did not arrive on another: then nothing was done.
        """
        where = await self.arrived(list(dict.fromkeys(ids)))
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


def _as_waiting(record: JobRecord) -> JobRecord:
    """Show a job between two carriers as one that waits: its trace says that it ended, which it did only there."""
    if not record.withdrawn:
        return record
    return msgspec.structs.replace(record, state=JobState.READY, finished_ms=None)


def _lost_on_the_way(job_id: JobId, name: str, record: JobRecord) -> BrokerUnavailableError:
    target = record.reason.removeprefix(MOVED_TO)
    msg = (
        f"job {job_id} left carrier {name!r} and has not arrived on {target!r}: the move that took it was interrupted; "
        f"`headway routes move {record.queue} --from {name} --to {target}` finishes it, then try again"
    )
    return BrokerUnavailableError(msg)
