"""Workers: who runs jobs now; one is drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.clock import from_ms
from headway.job import WorkerId
from headway.routing.served import drain_worker
from headway.server.instants import Instant
from headway.server.services.problems import NotFoundError
from headway.server.services.shared import check_everything

if TYPE_CHECKING:
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared


class Worker(Struct, frozen=True, kw_only=True):
    """A worker of one carrier: how many jobs it holds, and until when its lease on them runs.

    `draining`: it was asked to claim no more, to finish what it runs, and to end.
    """

    id: str
    carrier: str
    holds: int
    queues: tuple[str, ...]
    lease_until: Instant | None = None
    since: Instant | None = None
    draining: bool = False


class Drained(Struct, frozen=True, kw_only=True):
    """A worker that was asked to drain, and the carriers through which it was told."""

    id: str
    carriers: list[str]


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
                draining=one.draining,
            )
            for name, workers in zip(carriers, told, strict=True)
            for one in workers
            if not scope.queues or any(scope.has_queue(queue) for queue in one.queues)
        ]

    async def drain(self, caller: Caller, worker: str) -> Drained:
        """Ask a worker to claim no more, finish what it runs, and end; its supervisor starts another one.

        OutOfScopeError for a caller for some queues or tasks: it may serve others. NotFoundError.
        """
        check_everything(caller, "workers")
        before = [one for one in await self.list(caller) if one.id == worker]
        told = await drain_worker(dict(self._shared.carriers), WorkerId(worker))
        if not told:
            msg = f"there is no worker {worker}: it has ended, or was never there"
            raise NotFoundError(msg)
        await self._shared.audit.note(
            caller,
            "workers.drain",
            f"worker {worker}",
            before={
                "holds": sum(one.holds for one in before),
                "draining": any(one.draining for one in before),
            },
            after={"draining": True, "carriers": told},
        )
        return Drained(id=worker, carriers=told)
