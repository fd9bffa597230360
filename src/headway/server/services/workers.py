"""Workers: who runs jobs now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.clock import from_ms
from headway.server.instants import Instant

if TYPE_CHECKING:
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared


class Worker(Struct, frozen=True, kw_only=True):
    """A worker of one carrier: how many jobs it holds, and until when its lease on them runs."""

    id: str
    carrier: str
    holds: int
    queues: tuple[str, ...]
    lease_until: Instant | None = None
    since: Instant | None = None


class Workers:
    """The workers of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def list(self, caller: Caller) -> list[Worker]:
        """Return the workers that hold jobs or listen for some, by carrier and name.

        A caller for some queues sees those who serve one of them, and no other queue's name.
        """
        scope = caller.scope
        carriers = dict(self._shared.carriers)
        told = await asyncio.gather(*(store.workers() for store in carriers.values()))
        return [
            Worker(
                id=one.id,
                carrier=name,
                holds=one.holds,
                queues=tuple(queue for queue in one.queues if scope.has_queue(queue)),
                lease_until=None if one.lease_until_ms is None else from_ms(one.lease_until_ms),
                since=None if one.since_ms is None else from_ms(one.since_ms),
            )
            for name, workers in zip(carriers, told, strict=True)
            for one in workers
            if not scope.queues or any(scope.has_queue(queue) for queue in one.queues)
        ]
