"""The guard: which delivery may run a job, and what became of it, kept in a store.

An ordinary job costs an insert and a swap.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from headway.brokers.base import GuardStats, LeaseState, SettleResult
from headway.errors import BrokerRefusedError
from headway.guards import transitions
from headway.guards.beginning import Beginning
from headway.guards.budget import Budget
from headway.guards.changes import Changes, Settled
from headway.guards.desk import Desk
from headway.guards.made import MadeSchedules
from headway.guards.refusals import Refusals
from headway.guards.schedules import Schedules
from headway.job import JobState
from headway.storage.redis.replies import ServerRefusesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import BrokerSettings, LogLine, Progress, Report
    from headway.clock import Clock
    from headway.guards.base import GuardStore
    from headway.guards.beginning import Started
    from headway.guards.document import Document, PushedJob
    from headway.guards.transitions import Behind, Busy, Complete
    from headway.job import JobId, Lease, Outcome, WorkerId

_log = logging.getLogger("headway.guard")


class Guard:
    """Leases and outcomes of pushed jobs, over a store; `desk` is what people do to them and see of them."""

    def __init__(self, store: GuardStore, *, settings: BrokerSettings, clock: Clock) -> None:
        """Own the store: it is opened and closed with the guard."""
        self._store = store
        self._max_lines = settings.max_log_lines
        self._changes = Changes(store, clock, settings.retention)
        self._budget = Budget(settings.options.guard_budget)
        self._jobs = 0
        self._superseded = 0
        self._beginning = Beginning(store, self._changes)
        self._refusals = Refusals(self._changes)
        self.desk = Desk(store, self._changes)
        self.reservations = self._changes.reservations
        self._schedules = Schedules(store, self._changes.clock)
        self.declare_schedules = self._schedules.declare
        self.schedules = self._schedules.read
        self.pause_schedule = self._schedules.pause
        self.skip_fire = self._schedules.skip
        self.find_fires = self._schedules.find
        self.reserve_fire = self._schedules.reserve_fire
        self.confirm_fire = self._schedules.confirm_fire
        made = MadeSchedules(
            store, self._changes.clock, self._schedules.last_fires, self._schedules.forget_from
        )
        self.made_schedules = made.read
        self.write_schedule = made.write

    async def open(self) -> None:
        """Open the store."""
        await self._store.open()

    async def close(self) -> None:
        """Close the store."""
        await self._beginning.doubts.close()
        await self._store.close()

    @property
    def stats(self) -> GuardStats:
        """What it has come to since it was made."""
        return GuardStats(jobs=self._jobs, commands=self._store.commands, superseded=self._superseded)

    async def begin(
        self, pushed: PushedJob, *, worker: WorkerId, lease_ms: int
    ) -> Started | Busy | Complete | Behind:
        """Take the lease of a delivered job, or say why there is nothing to run."""
        return await self._beginning.begin(pushed, worker=worker, lease_ms=lease_ms)

    async def settle(self, lease: Lease, outcome: Outcome) -> Settled:
        """Apply an outcome if the lease is held under its epoch."""
        held = self._changes.held.find(lease)
        settled = await self._refusals.change(
            lease,
            lambda document: transitions.settle(document, lease, outcome, now_ms=self._changes.now_ms()),
        )
        document = settled.document
        if settled.applied:
            self._jobs += 1
            self._budget.check(self._store.commands, self._jobs)
        elif document is not None and held is not None and _is_of(held.document, document):
            # What was held is let go when all is done: so this call may be the repetition of one that failed halfway.
            settled = replace(settled, repeated=transitions.was_settled(document, lease, outcome))
        if document is not None and (document.state.terminal or settled.applied):
            await self._changes.keep_key(document)
        self._changes.held.drop(lease)
        if document is not None and not settled.applied and not settled.repeated:
            self._superseded += 1
            _log.warning(
                "job %s: outcome %s under epoch %d was superseded",
                lease.job_id,
                type(outcome).__name__,
                lease.epoch,
            )
        return settled

    async def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[LeaseState]:
        """Extend leases that nobody took over."""
        await self._changes.clock.check()
        return await asyncio.gather(*(self._extend(lease, lease_ms) for lease in leases))

    async def _extend(self, lease: Lease, lease_ms: int) -> LeaseState:
        settled = await self._refusals.change(
            lease,
            lambda document: transitions.extend(
                document, lease, now_ms=self._changes.now_ms(), lease_ms=lease_ms
            ),
        )
        document = settled.document
        if not settled.applied or document is None or document.state is not JobState.RUNNING:
            return LeaseState.LOST
        return LeaseState.CANCEL_REQUESTED if document.cancel_requested else LeaseState.HELD

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
        step = partial(transitions.report, lease=lease, contents=contents, max_lines=self._max_lines)
        try:
            settled = await self._changes.change(lease.job_id, step, lease=lease)
        except ServerRefusesError:
            raise
        except BrokerRefusedError as error:
            # A report is worth less than the job, and others come with it in one call.
            _log.warning("job %s: its progress or log lines are dropped: %s", lease.job_id, error)
            return True
        return settled.applied

    async def reject(self, job_id: JobId, queue: str, body: bytes, history: bytes) -> None:
        """Keep a body that cannot be read in the dead-letter state, once."""
        now = self._changes.now_ms()
        try:
            document = transitions.malformed(job_id, queue, body, history, now_ms=now)
            await self._store.insert(self._changes.entry(document, 1), now_ms=now)
        except ServerRefusesError:
            raise
        except BrokerRefusedError:
            document = transitions.malformed(job_id, queue, b"", history, now_ms=now)
            await self._store.insert(self._changes.entry(document, 1), now_ms=now)


def _is_of(held: Document, there: Document) -> bool:
    """Tell whether both are of one run: after a loss of the store another one may have the same epoch."""
    return held.started_ms == there.started_ms and held.epoch == there.epoch
