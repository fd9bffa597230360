"""What the other carriers of an app know of jobs in the spool: one may have been moved, or its name be held there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from headway.errors import BrokerUnavailableError
from headway.routing.carriers.enqueue import Enqueueing
from headway.routing.failover.waiting import cancel_there

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Store
    from headway.job import JobId, NewJob
    from headway.routing.carriers.router import Router
    from headway.routing.carriers.sides import Sides
    from headway.routing.failover.entries import Entry


class Others:
    """Asks, for the jobs of one carrier."""

    def __init__(self, name: str, stores: Mapping[str, Store], sides: Sides, router: Router) -> None:
        """`stores` and `sides` are the carriers themselves, this one among them."""
        self.waiting: frozenset[JobId] = frozenset()
        """Jobs of the last call that have to wait, because a carrier that may know them is away."""
        self._store = stores[name]
        self._others = {other: store for other, store in stores.items() if other != name}
        self._enqueueing = Enqueueing(sides, _Pinned(name, router), {})

    async def met(self, entries: Sequence[Entry]) -> frozenset[JobId]:
        """Return the jobs that are there already, or whose names others hold. BrokerError of its own carrier only."""
        met: set[JobId] = set()
        waiting: set[JobId] = set()
        tried = [one.job.id for one in entries if one.tried_ms is not None]
        if tried:
            met |= await _known(self._store, tried)
            # In this order: a job that was moved is there before it is forgotten here.
            unknown = [one for one in tried if one not in met]
            for store in self._others.values() if unknown else ():
                try:
                    met |= await _known(store, unknown)
                except BrokerUnavailableError:
                    waiting.update(unknown)
        left = [_asking(one) for one in entries if one.job.id not in met | waiting]
        for job in (one for one in left if one.named):  # in their order: two of them may have one name
            try:
                if await self._enqueueing.met_before([job]):
                    met.add(job.id)
            except BrokerUnavailableError:
                waiting.add(job.id)
        self.waiting = frozenset(waiting - met)
        return frozenset(met)

    async def cancelled(self, entries: Sequence[Entry]) -> list[Entry]:
        """Cancel on the other carriers what is to be cancelled, as it may have been moved there.

        Return the jobs that are done with; the others wait for a carrier that is away.
        """
        wanted = [one for one in entries if one.cancelled is not None]
        try:
            for store in self._others.values() if wanted else ():
                await cancel_there(store, wanted)
        except BrokerUnavailableError:
            self.waiting |= {one.job.id for one in wanted}
        return [one for one in entries if one.job.id not in self.waiting]


class _Pinned:
    """Sends all to one carrier; the names of its jobs may be held by each to which a route leads or led."""

    def __init__(self, name: str, router: Router) -> None:
        self._name = name
        self._router = router

    @property
    def stale(self) -> bool:
        return self._router.stale

    async def freshen(self) -> None:
        await self._router.freshen()

    def choose(self, _job: NewJob, /) -> str:
        return self._name

    def choose_at_once(self, _job: NewJob, /) -> str | None:
        return self._name

    def choose_each(self, _jobs: Sequence[NewJob], /, *, named: bool) -> str | list[str]:
        del named
        return self._name

    async def quiet(self) -> bool:
        """See Router."""
        return await self._router.quiet()

    def formerly(self, job: NewJob, /) -> tuple[str, ...]:
        places = (*self._router.formerly(job), self._router.choose(job))
        return tuple(name for name in dict.fromkeys(places) if name != self._name)

    async def close(self) -> None:
        """It is not ours."""


def _asking(entry: Entry) -> NewJob:
    """Return the job whose name others may hold; a cancelled one replaces nobody."""
    return entry.job if entry.cancelled is None else replace(entry.job, unique=None)


async def _known(store: Store, ids: Sequence[JobId]) -> set[JobId]:
    return {one for one, record in zip(ids, await store.get(ids), strict=True) if record is not None}
