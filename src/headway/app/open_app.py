"""An app as it is open on one event loop: its carriers, and the batches of jobs for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from headway.config import MAIN
from headway.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterable, Mapping

    from headway.app.accepting import Acceptor
    from headway.app.prepared import PreparedJob
    from headway.brokers.base import Carrier, Enqueued, PushCarrier, Store
    from headway.cache.url import OpenCache
    from headway.routing.failover.failover import Failover

R = TypeVar("R")
_BATCH = 1000


class OpenApp:
    """An app open on one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        carrier: Store,
        acceptor: Acceptor,
        carriers: Mapping[str, Store] | None = None,
    ) -> None:
        """`acceptor` gives the carrier jobs. `carriers` are those that it consists of, by name."""
        self.loop = loop
        self.carrier = carrier
        self.carriers = carriers or {MAIN: carrier}
        self.acceptor = acceptor
        self.users = 0
        self.cache: OpenCache | None = None
        self.host: OpenApp | None = None  # what this is a guest of
        self.failover: Failover | None = None  # of an app with a spool

    @property
    def pull_carrier(self) -> Carrier:
        """The carrier with workers; ConfigError when there is none, or more than one."""
        from headway.brokers.url import pulled  # noqa: PLC0415 - drivers are loaded when they are needed

        return pulled(self._one([one for one in self.carriers.values() if one.capabilities.pull]))

    @property
    def push_carrier(self) -> PushCarrier:
        """The carrier that pushes; ConfigError when there is none, or more than one."""
        from headway.brokers.url import pushed  # noqa: PLC0415 - as above

        return pushed(self._one([one for one in self.carriers.values() if one.capabilities.push]))

    def _one(self, fitting: Sequence[Store]) -> Store:
        if len(fitting) > 1:
            msg = f"the app has several such carriers among {', '.join(self.carriers)}: ask for one of `app.carriers`"
            raise ConfigError(msg)
        return next(iter(fitting), next(iter(self.carriers.values())))

    async def enqueue_many(
        self, jobs: Iterable[PreparedJob[R]]
    ) -> AsyncIterator[tuple[list[PreparedJob[R]], list[Enqueued]]]:
        """Enqueue in batches, and yield each with its answers; see `Headway.enqueue_many`."""
        if at_hand := isinstance(jobs, Sequence):
            for job in jobs:  # all of them, before the first is written
                self.acceptor.check(job.new)
        batch: list[PreparedJob[R]] = []
        for job in jobs:
            if not at_hand:
                self.acceptor.check(job.new)
            batch.append(job)
            if len(batch) == _BATCH:
                yield batch, await self._enqueue(batch)
                batch = []
        if batch:
            yield batch, await self._enqueue(batch)

    async def _enqueue(self, batch: list[PreparedJob[R]]) -> list[Enqueued]:
        return await self.acceptor.accept_many([job.new for job in batch])
