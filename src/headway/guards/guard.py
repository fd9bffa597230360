"""The guard: which delivery may run a job, and what became of it, kept in a store.

Each change is the same three steps: read what is kept, ask `transitions` what follows, swap it in by its version; when
somebody else was faster, again. What this process keeps itself, it knows without reading: an ordinary job costs an
insert and a swap.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import JobPage, LeaseState, LogLine, SettleResult
from headway.errors import BrokerUnavailableError, CodecError
from headway.guards import transitions
from headway.guards.document import Document, entry_key, from_entry, to_entry, to_record, tombstone
from headway.guards.reservations import Reservations
from headway.guards.schedules import Schedules
from headway.guards.transitions import Begun, Behind, Busy, Complete, PushedJob
from headway.job import Delivery, JobState, Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.base import BrokerSettings, JobQuery, Progress, Report
    from headway.clock import Clock
    from headway.guards.base import Entry, GuardStore
    from headway.job import JobId, JobRecord, NewJob, Outcome, WorkerId

_log = logging.getLogger("headway.guard")

_TRIES: Final = 20  # swaps that somebody else was faster at, before the store is taken for unusable
_PAGE: Final = 500


class Started(Struct, frozen=True):
    """This delivery runs the job."""

    delivery: Delivery


class Settled(Struct, frozen=True):
    """What an outcome came to. `document` is what is kept now; None: nothing is known of the job."""

    applied: bool
    document: Document | None


class Guard:
    """Leases, outcomes and records of pushed jobs, over a store."""

    def __init__(self, store: GuardStore, *, settings: BrokerSettings, clock: Clock) -> None:
        """Own the store: it is opened and closed with the guard."""
        self._store = store
        self._retention = settings.retention
        self._max_lines = settings.max_log_lines
        self._clock = clock
        self._held: dict[JobId, Entry] = {}
        self._jobs = 0
        self.reservations = Reservations(store, clock)
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

    # --- running ------------------------------------------------------------------------------------------------

    async def begin(
        self, pushed: PushedJob, *, worker: WorkerId, lease_ms: int
    ) -> Started | Busy | Complete | Behind:
        """Take the lease of a delivered job, or say why there is nothing to run."""
        job_id = pushed.job.id
        known: Entry | None = None
        for _ in range(_TRIES):
            now = self._now()
            document = None if known is None else from_entry(known)
            decision = transitions.begin(document, pushed, worker=worker, now_ms=now, lease_ms=lease_ms)
            if not isinstance(decision, Begun):
                return decision
            entry = self._entry(decision.document, 1 if known is None else known.version + 1)
            if known is None:
                known = await self._store.insert(entry, now_ms=now)
                if known is not None and known.data != entry.data:
                    continue
            elif not await self._store.swap(entry, now_ms=now):
                known = await self._read(job_id)
                continue
            self._held[job_id] = entry
            return Started(_delivery(decision.document, worker))
        raise self._contended(job_id)

    async def settle(self, lease: Lease, outcome: Outcome) -> Settled:
        """Apply an outcome if the lease is held under its epoch."""
        try:
            settled = await self._change(
                lease.job_id,
                lambda document: transitions.settle(document, lease, outcome, now_ms=self._now()),
            )
        finally:
            self._held.pop(lease.job_id, None)
        if settled.applied:
            self._jobs += 1
            await self._keep_key(settled.document)
        else:
            _log.info("job %s: an outcome under epoch %d is superseded", lease.job_id, lease.epoch)
        return settled

    async def _keep_key(self, document: Document | None) -> None:
        """Hold the idempotency key as long as the record, now that it is known how long that is."""
        if document is not None and document.key is not None:
            forget_ms = self._entry(document, 1).forget_ms
            if document.state.terminal or document.attempt == 0:
                await self.reservations.keep_until(document.key, document.id, forget_ms)

    async def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[LeaseState]:
        """Extend leases that nobody took over."""
        return await asyncio.gather(*(self._extend(lease, lease_ms) for lease in leases))

    async def _extend(self, lease: Lease, lease_ms: int) -> LeaseState:
        settled = await self._change(
            lease.job_id,
            lambda document: transitions.extend(document, lease, now_ms=self._now(), lease_ms=lease_ms),
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
        settled = await self._change(
            lease.job_id,
            lambda document: transitions.report(document, lease, contents, max_lines=self._max_lines),
        )
        return settled.applied

    async def reject(self, job_id: JobId, queue: str, body: bytes, history: bytes) -> None:
        """Keep a body that cannot be read in the dead-letter state, once."""
        now = self._now()
        document = transitions.malformed(job_id, queue, body, history, now_ms=now)
        await self._store.insert(self._entry(document, 1), now_ms=now)

    # --- by hand ------------------------------------------------------------------------------------------------

    async def cancel(self, ids: Sequence[JobId], reason: str) -> list[JobState | None]:
        """Cancel the waiting ones that are known here, ask the holders of running ones; None: not known here."""
        return await asyncio.gather(*(self._cancel(job_id, reason) for job_id in ids))

    async def _cancel(self, job_id: JobId, reason: str) -> JobState | None:
        settled = await self._change(
            job_id,
            lambda document: (
                None if document is None else transitions.cancel(document, reason, now_ms=self._now())
            ),
        )
        document = settled.document
        if document is None:
            return None
        if settled.applied:
            await self._keep_key(document)
        record = to_record(document, now_ms=self._now(), retention=self._retention)
        return None if record is None else record.state

    async def cancel_waiting(self, pushed: PushedJob, reason: str) -> JobState | None:
        """Cancel a job that was never delivered; return its state then. None: it was removed."""
        now = self._now()
        entry = self._entry(transitions.cancel_unknown(pushed, reason, now_ms=now), 1)
        if await self._store.insert(entry, now_ms=now) is None:
            await self._keep_key(from_entry(entry))
            return JobState.CANCELLED
        return await self._cancel(pushed.job.id, reason)

    async def remove(self, ids: Sequence[JobId]) -> list[bool]:
        """Forget those that are known here and do not run; late deliveries of them find a tombstone."""
        return await asyncio.gather(*(self._remove(job_id) for job_id in ids))

    async def _remove(self, job_id: JobId) -> bool:
        key: list[str | None] = []

        def step(document: Document | None) -> Document | None:
            key[:] = [None if document is None else document.key]
            return None if document is None else transitions.remove(document, now_ms=self._now())

        removed = (await self._change(job_id, step)).applied
        if removed and key[0] is not None:
            await self.reservations.free(key[0], job_id)
        return removed

    async def bury(self, job: NewJob) -> bool:
        """Leave a tombstone for a job that was never delivered; false: it has been meanwhile, or is gone already."""
        now = self._now()
        if await self._store.insert(self._entry(tombstone(job.id), 1), now_ms=now) is not None:
            return await self._remove(job.id)
        if job.key is not None:
            await self.reservations.free(job.key, job.id)
        return True

    async def retry(self, job_id: JobId) -> PushedJob | None:
        """Give a completed job a new life; return the turn whose task is to be made. None: it cannot be retried."""
        return await self._next_turn(job_id, transitions.retry)

    async def promote(self, job_id: JobId) -> PushedJob | None:
        """Make a scheduled retry ready; return the turn whose task is to be made. None: it is not scheduled here."""
        return await self._next_turn(job_id, transitions.promote)

    async def _next_turn(self, job_id: JobId, step: Callable[..., Document | None]) -> PushedJob | None:
        settled = await self._change(
            job_id, lambda document: None if document is None else step(document, now_ms=self._now())
        )
        if not settled.applied or settled.document is None:
            return None
        await self._keep_key(settled.document)
        return settled.document.pushed

    # --- reading ------------------------------------------------------------------------------------------------

    async def records(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return the records of jobs that were delivered at least once, or ended before; None: not known here."""
        return [self._record(document) for document in await self._documents(ids)]

    async def gone(self, ids: Sequence[JobId]) -> list[bool]:
        """Tell which are known to be removed: whatever the dispatcher still shows of them."""
        return [document is not None and document.removed for document in await self._documents(ids)]

    async def logs(self, job_id: JobId) -> list[LogLine]:
        """Return the job's log, oldest line first."""
        [document] = await self._documents([job_id])
        if document is None or document.removed:
            return []
        return [LogLine(line.at_ms, line.level, line.message) for line in document.log]

    async def page(self, query: JobQuery, *, after: str | None, limit: int) -> JobPage:
        """List matching jobs that are known here, the newest first."""
        jobs: list[JobRecord] = []
        # What waits may show as another state by now, so the store is not asked for waiting states one by one.
        tags = sorted({tag for state in query.states for tag in _KEPT_AS[state]}) if query.states else None
        while len(jobs) < limit:
            page = await self._store.page(
                groups=query.queues or None, tags=tags, after=after, limit=_PAGE, now_ms=self._now()
            )
            for entry in page.entries:
                record = self._record(self._read_entry(entry))
                if record is not None and matches(record, query):
                    jobs.append(record)
                    if len(jobs) == limit:
                        return JobPage(jobs, entry.key)
            after = page.cursor
            if after is None:
                return JobPage(jobs)
        return JobPage(jobs, after)

    async def counts(self) -> dict[str, dict[JobState, int]]:
        """Count the jobs that are known here, by queue and state."""
        counted: dict[str, dict[JobState, int]] = {}
        for (queue, tag), number in (await self._store.counts(now_ms=self._now())).items():
            if number and tag in _STATES:
                counted.setdefault(queue, {})[JobState(tag)] = number
        return counted

    async def clean(self, state: JobState, older_than_ms: int, queue: str | None, limit: int) -> int:
        """Remove completed jobs of a state that finished longer ago than that, the oldest first; return how many."""
        before = self._now() - older_than_ms
        old: list[tuple[int, JobId]] = []
        after: str | None = None
        while True:
            page = await self._store.page(
                groups=None if queue is None else [queue],
                tags=[str(state)],
                after=after,
                limit=_PAGE,
                now_ms=self._now(),
            )
            found = (self._record(self._read_entry(entry)) for entry in page.entries)
            finished = ((job.finished_ms or 0, job.id) for job in found if job is not None)
            # Pages go by the time of enqueueing, which is another order than that of their ends.
            old = heapq.nsmallest(limit, [*old, *(one for one in finished if one[0] < before)])
            after = page.cursor
            if after is None:
                break
        done = 0
        for start in range(0, len(old), _PAGE):
            done += sum(await self.remove([job_id for _, job_id in old[start : start + _PAGE]]))
        return done

    async def prune(self) -> int:
        """Forget what is due to be forgotten."""
        return await self._store.prune(now_ms=self._now())

    # --- the three steps ----------------------------------------------------------------------------------------

    async def _change(self, job_id: JobId, step: Callable[[Document | None], Document | None]) -> Settled:
        """Change what is kept of a job; not applied when `step` returns None, which is also checked on what is new."""
        known = self._held.get(job_id)
        trusted = known is not None
        if known is None:
            known = await self._read(job_id)
        for _ in range(_TRIES):
            document = None if known is None else self._read_entry(known)
            changed = step(document)
            if changed is None or known is None:
                if trusted:
                    known, trusted = await self._read(job_id), False
                    continue
                return Settled(applied=False, document=document)
            entry = self._entry(changed, known.version + 1)
            if await self._store.swap(entry, now_ms=self._now()):
                if job_id in self._held:
                    self._held[job_id] = entry
                return Settled(applied=True, document=changed)
            known, trusted = await self._read(job_id), False
        raise self._contended(job_id)

    async def _read(self, job_id: JobId) -> Entry | None:
        [entry] = await self._store.read([entry_key(job_id)], now_ms=self._now())
        return entry

    async def _documents(self, ids: Sequence[JobId]) -> list[Document | None]:
        if not ids:
            return []
        entries = await self._store.read([entry_key(job_id) for job_id in ids], now_ms=self._now())
        return [None if entry is None else self._read_entry(entry) for entry in entries]

    def _read_entry(self, entry: Entry) -> Document | None:
        try:
            return from_entry(entry)
        except CodecError as error:
            _log.warning("%s", error)
            return None

    def _record(self, document: Document | None) -> JobRecord | None:
        if document is None:
            return None
        return to_record(document, now_ms=self._now(), retention=self._retention)

    def _entry(self, document: Document, version: int) -> Entry:
        return to_entry(document, version, now_ms=self._now(), retention=self._retention)

    def _now(self) -> int:
        return self._clock.now_ms()

    def _contended(self, job_id: JobId) -> BrokerUnavailableError:
        return BrokerUnavailableError(
            f"job {job_id}: its entry in the guard's store changed {_TRIES} times while it was to be changed here"
        )


_STATES: Final = frozenset(map(str, JobState))
_WAITING: Final = (str(JobState.SCHEDULED), str(JobState.READY))
_KEPT_AS: Final[dict[JobState, tuple[str, ...]]] = {
    **{state: (str(state),) for state in JobState},
    JobState.READY: _WAITING,
    JobState.EXPIRED: (*_WAITING, str(JobState.EXPIRED)),
}


def matches(record: JobRecord, query: JobQuery) -> bool:
    """Tell whether all conditions of a query hold for a record."""
    if query.states and record.state not in query.states:
        return False
    if query.queues and record.queue not in query.queues:
        return False
    if query.task is not None and record.task != query.task:
        return False
    if not query.search:
        return True
    wanted = query.search.casefold()
    return any(wanted in text.casefold() for text in (record.id, record.task, record.key or ""))


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
