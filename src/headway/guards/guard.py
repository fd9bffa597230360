"""The guard: which delivery may run a job, and what became of it, kept in a store.

An ordinary job costs an insert and a swap.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.brokers.base import LeaseState, SettleResult
from headway.guards import transitions
from headway.guards.changes import TRIES, Changes, Settled
from headway.guards.desk import Desk
from headway.guards.document import Document, from_entry
from headway.guards.schedules import Schedules
from headway.guards.transitions import Begun, Behind, Busy, Complete, PushedJob
from headway.job import Delivery, Lease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import BrokerSettings, LogLine, Progress, Report
    from headway.clock import Clock
    from headway.guards.base import Entry, GuardStore
    from headway.job import JobId, Outcome, WorkerId

_log = logging.getLogger("headway.guard")


class Started(Struct, frozen=True):
    """This delivery runs the job."""

    delivery: Delivery


class Guard:
    """Leases and outcomes of pushed jobs, over a store; `desk` is what people do to them and see of them."""

    def __init__(self, store: GuardStore, *, settings: BrokerSettings, clock: Clock) -> None:
        """Own the store: it is opened and closed with the guard."""
        self._store = store
        self._max_lines = settings.max_log_lines
        self._changes = Changes(store, clock, settings.retention)
        self._jobs = 0
        self.desk = Desk(store, self._changes)
        self.reservations = self._changes.reservations
        self._schedules = Schedules(store, clock)
        self.declare_schedules = self._schedules.declare
        self.schedules = self._schedules.read
        self.pause_schedule = self._schedules.pause
        self.skip_fire = self._schedules.skip
        self.reserve_fire = self._schedules.reserve_fire
        self.confirm_fire = self._schedules.confirm_fire

    async def open(self) -> None:
        """Open the store."""
        await self._store.open()

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    @property
    def commands(self) -> int:
        """How many commands the store was sent."""
        return self._store.commands

    @property
    def commands_per_job(self) -> float:
        """Commands for each job that was settled here; the metric `guard.commands_per_job`."""
        return self._store.commands / self._jobs if self._jobs else 0.0

    async def begin(
        self, pushed: PushedJob, *, worker: WorkerId, lease_ms: int
    ) -> Started | Busy | Complete | Behind:
        """Take the lease of a delivered job, or say why there is nothing to run."""
        job_id = pushed.job.id
        known: Entry | None = None
        for _ in range(TRIES):
            now = self._changes.now_ms()
            document = None if known is None else from_entry(known)
            decision = transitions.begin(document, pushed, worker=worker, now_ms=now, lease_ms=lease_ms)
            if not isinstance(decision, Begun):
                return decision
            entry = self._changes.entry(decision.document, 1 if known is None else known.version + 1)
            if known is None:
                known = await self._store.insert(entry, now_ms=now)
                if known is not None and known.data != entry.data:
                    continue
            elif not await self._store.swap(entry, now_ms=now):
                known = await self._changes.read(job_id)
                continue
            self._changes.held[job_id] = entry
            return Started(_delivery(decision.document, worker))
        raise self._changes.contended(job_id)

    async def settle(self, lease: Lease, outcome: Outcome) -> Settled:
        """Apply an outcome if the lease is held under its epoch."""
        try:
            settled = await self._changes.change(
                lease.job_id,
                lambda document: transitions.settle(document, lease, outcome, now_ms=self._changes.now_ms()),
            )
        finally:
            self._changes.held.pop(lease.job_id, None)
        if settled.applied:
            self._jobs += 1
            await self._changes.keep_key(settled.document)
        else:
            _log.info("job %s: an outcome under epoch %d is superseded", lease.job_id, lease.epoch)
        return settled

    async def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[LeaseState]:
        """Extend leases that nobody took over."""
        return await asyncio.gather(*(self._extend(lease, lease_ms) for lease in leases))

    async def _extend(self, lease: Lease, lease_ms: int) -> LeaseState:
        settled = await self._changes.change(
            lease.job_id,
            lambda document: transitions.extend(
                document, lease, now_ms=self._changes.now_ms(), lease_ms=lease_ms
            ),
        )
        if not settled.applied or settled.document is None:
            return LeaseState.LOST
        return LeaseState.CANCEL_REQUESTED if settled.document.cancel_requested else LeaseState.HELD

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        """Record progress and log lines, all of a job at once."""
        by_lease: dict[Lease, list[Progress | LogLine]] = {}
        for item in reports:
            by_lease.setdefault(item.lease, []).append(item.content)
        answers = await asyncio.gather(
            *(self._report(lease, contents) for lease, contents in by_lease.items())
        )
        applied = dict(zip(by_lease, answers, strict=True))
        return [SettleResult(item.lease.job_id, applied[item.lease]) for item in reports]

    async def _report(self, lease: Lease, contents: Sequence[Progress | LogLine]) -> bool:
        settled = await self._changes.change(
            lease.job_id,
            lambda document: transitions.report(document, lease, contents, max_lines=self._max_lines),
        )
        return settled.applied

    async def reject(self, job_id: JobId, queue: str, body: bytes, history: bytes) -> None:
        """Keep a body that cannot be read in the dead-letter state, once."""
        now = self._changes.now_ms()
        document = transitions.malformed(job_id, queue, body, history, now_ms=now)
        await self._store.insert(self._changes.entry(document, 1), now_ms=now)


def _delivery(document: Document, worker: WorkerId) -> Delivery:
    return Delivery(
        lease=Lease(document.id, worker, document.epoch),
        task=document.task,
        queue=document.queue,
        payload=document.payload,
        priority=document.priority,
        attempt=document.attempt,
        crashes=document.crashes,
        expires_ms=document.expires_ms,
        history=document.history,
        cancel_requested=document.cancel_requested,
    )
