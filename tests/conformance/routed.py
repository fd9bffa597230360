"""Two carriers behind a route of 50/50 as one that can be claimed from: what an app's workers do, in one object."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, cast

from msgspec.structs import replace

from headway.brokers.base import Capabilities, Claimed, Heartbeat, SettleResult, Tended, Wake
from headway.routing.carriers.broker import RoutedBroker
from headway.routing.following import Following
from headway.routing.routes import Route, route_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from headway.brokers.base import Carrier, QueueWant, Report, Settlement, Signal, Store
    from headway.job import JobId, Lease, WorkerId


class _Halves(dict[str, Route]):
    """Every queue has a route: half here, half there."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._weights: Final = dict.fromkeys(names, 100 // len(names))

    def get(self, queue: str, default: object = None) -> Route:
        del default
        return self.setdefault(queue, route_of(queue, self._weights))


class RoutedCarrier(RoutedBroker):
    """Claims from each carrier in turn, beginning with another each time."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        router = Following(tuple(stores), {}, None)
        router._routes = _Halves(tuple(stores))
        super().__init__(stores, router)
        self._carriers = cast("list[Carrier]", list(stores.values()))
        self._turn = 0

    @property
    def capabilities(self) -> Capabilities:
        pulled = all(one.capabilities.pull is not None for one in self._carriers)
        # Priorities order the jobs of each carrier, not those of both.
        return replace(super().capabilities, pull=self if pulled else None, priority=False)

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        self._turn += 1
        first = self._turn % len(self._carriers)
        claimed = Claimed([])
        for carrier in [*self._carriers[first:], *self._carriers[:first]]:
            left = limit - len(claimed.deliveries)
            had = {want.queue: 0 for want in wants}
            for delivery in claimed.deliveries:
                had[delivery.queue] += 1
            still = [type(want)(want.queue, want.limit - had[want.queue]) for want in wants]
            some = await carrier.claim(
                [want for want in still if want.limit > 0], worker=worker, limit=left, lease_ms=lease_ms
            )
            times = [one for one in (claimed.next_in_ms, some.next_in_ms) if one is not None]
            claimed = Claimed([*claimed.deliveries, *some.deliveries], min(times, default=None))
        return claimed

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
        told = [await carrier.heartbeat(workers, lease_ms) for carrier in self._carriers]
        return [Heartbeat(one[0].worker, any(beat.held for beat in one)) for one in zip(*told, strict=True)]

    async def settle(self, items: Sequence[Settlement]) -> list[SettleResult]:
        return [await self._settle(item) for item in items]

    async def _settle(self, item: Settlement) -> SettleResult:
        [answer] = await (await self._carrier_of(item.lease)).settle([item])
        return answer

    async def _carrier_of(self, lease: Lease) -> Carrier:
        where = await self.sides.records([lease.job_id])
        name = where[lease.job_id][0] if where else self.sides.names[0]
        return cast("Carrier", self.sides[name])

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        return sum([await one.surrender(worker, started=started, forget=forget) for one in self._carriers])

    async def drain_worker(self, worker: WorkerId) -> bool:
        return any([await carrier.drain_worker(worker) for carrier in self._carriers])

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        answers: list[SettleResult] = []
        for one in reports:
            answers += await (await self._carrier_of(one.lease)).report([one])
        return answers

    async def tend(self) -> Tended:
        told = [await carrier.tend() for carrier in self._carriers]
        times = [one.next_in_ms for one in told if one.next_in_ms is not None]
        return Tended(
            promoted=sum(one.promoted for one in told),
            expired=sum(one.expired for one in told),
            reclaimed=sum(one.reclaimed for one in told),
            pruned=sum(one.pruned for one in told),
            next_in_ms=min(times, default=None),
            mended=sum(one.mended for one in told),
        )

    async def signals(self, worker: WorkerId, *, handed: bool = False) -> AsyncIterator[Signal]:
        heard: asyncio.Queue[Signal] = asyncio.Queue()

        begun = [asyncio.Event() for _ in self._carriers]

        async def listen(carrier: Carrier, first: asyncio.Event) -> None:
            async for signal in carrier.signals(worker, handed=handed):
                if first.is_set():
                    heard.put_nowait(signal)
                else:
                    assert signal == Wake()
                    first.set()

        tasks = [asyncio.create_task(listen(*one)) for one in zip(self._carriers, begun, strict=True)]
        try:
            for first in begun:
                await first.wait()
            yield Wake()
            while True:
                yield await heard.get()
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
