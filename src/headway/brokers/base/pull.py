"""Carriers whose jobs are claimed by workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from headway.brokers.base.broker import Broker
from headway.job import Delivery, JobId, Lease, Outcome, WorkerId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from headway.brokers.base.reports import Report, SettleResult


class QueueWant(Struct, frozen=True):
    """At most `limit` jobs of this queue. Wants are served in their order."""

    queue: str
    limit: int


class Claimed(Struct, frozen=True):
    """Deliveries, and in how many ms to come back at the latest; None: only a wake-up can bring work.

    A duration, because the clocks of carrier and worker may differ.
    """

    deliveries: list[Delivery]
    next_in_ms: int | None = None


class Settlement(Struct, frozen=True):
    """The outcome of a delivery, under its lease."""

    lease: Lease
    outcome: Outcome


class Heartbeat(Struct, frozen=True):
    """`held` is false when the lease ran out and the worker's jobs were taken back (or it holds none)."""

    worker: WorkerId
    held: bool


class CancelRequested(Struct, frozen=True):
    """Somebody asked to cancel a job that this worker runs."""

    job_id: JobId


class DrainRequested(Struct, frozen=True):
    """Somebody asked this worker to claim no more, to finish what it runs, and to end."""


class LeaseLost(Struct, frozen=True):
    """The worker's lease ran out; whatever it still runs is already someone else's."""


class Wake(Struct, frozen=True):
    """There may be work: claim. Sent to one idle worker for each enqueue that it could serve."""


class Handed(Struct, frozen=True):
    """A job, leased to this worker already: it comes instead of a Wake when a lone job was enqueued."""

    delivery: Delivery


Signal = CancelRequested | DrainRequested | Handed | LeaseLost | Wake


class Tended(Struct, frozen=True):
    """What one round of maintenance did, and in how many ms the next is due."""

    promoted: int = 0
    expired: int = 0
    reclaimed: int = 0
    pruned: int = 0
    next_in_ms: int | None = None
    mended: int = 0  # jobs that were known and stood nowhere, put back where they belong


class PullBroker(Broker, Protocol):
    """A carrier whose jobs are claimed by workers."""

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """Hand out ready jobs (due ones are promoted first) under leases of `worker`, without waiting.

        When nothing was there, the worker is remembered as idle for these queues: the next job for one of them sends it
        one Wake through `signals`. Taken jobs keep or start the worker's lease of `lease_ms`. A claim of nothing
        (`limit` 0) says that it has no place left: it is woken no more, and another is in its stead.
        """
        ...

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
        """Extend all that these workers hold to `lease_ms` from now. Never revives a lease that was lost."""
        ...

    async def settle(self, items: Sequence[Settlement]) -> list[SettleResult]:
        """Apply each outcome whose lease is held under its epoch; refuse the others.

        Repeating a settle is harmless: superseded.
        """
        ...

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        """Take back at once all that a dead worker holds, to the head of its queues; return how many.

        Those in `started` (None: all) count one crash more. `forget`: the worker is gone for good.
        """
        ...

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        """Record progress and log lines of running jobs, fenced like settle."""
        ...

    async def tend(self) -> Tended:
        """Promote due jobs, expire, take back the jobs of dead workers, prune old records.

        Idempotent; any worker may do it.
        """
        ...

    async def drain_worker(self, worker: WorkerId) -> bool:
        """Ask a worker to drain and end; false, and nothing is asked: no worker of this name is there.

        It hears of it through `signals`, at least once, also when it was cut off meanwhile. The request is over when
        the worker is (`surrender`), and after a day; one that a worker left behind does not reach a later one of its
        name.
        """
        ...

    def signals(self, worker: WorkerId, *, handed: bool = False) -> AsyncIterator[Signal]:
        """Yield what concerns this worker until closed. Sends one Wake at the start and after each reconnection.

        The first call for a worker, on a carrier object, is the worker's beginning: requests from before are dropped.

        `handed`: the carrier may send a lone job itself where it would send a Wake. The worker claims again after each
        Handed: the carrier learns from that call that it arrived.
        """
        ...
