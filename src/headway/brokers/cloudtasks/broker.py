"""The carrier itself: each part of it does one thing, and this puts them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from headway.brokers.base import Capabilities, GuardStats
from headway.brokers.cloudtasks import lease, settle
from headway.brokers.cloudtasks.api.calls import Calls
from headway.brokers.cloudtasks.auth.choice import make_verifier
from headway.brokers.cloudtasks.enqueue import MAX_DELAY_MS, MAX_PAYLOAD, MAX_WAIT_MS, Enqueuer
from headway.brokers.cloudtasks.guard import Keeping
from headway.brokers.cloudtasks.holding import Holding
from headway.brokers.cloudtasks.inspect import Counting, Inspection
from headway.brokers.cloudtasks.location import parse
from headway.brokers.cloudtasks.made import MadeSchedules
from headway.brokers.cloudtasks.manage import Acts
from headway.brokers.cloudtasks.queue_names import QueueNames
from headway.brokers.cloudtasks.receive import Receiving, admitted
from headway.brokers.cloudtasks.schedules import KeptSchedules
from headway.brokers.cloudtasks.settle import Settling
from headway.brokers.cloudtasks.target import Target
from headway.brokers.cloudtasks.undelivered import Waiting
from headway.brokers.cloudtasks.wait import finished
from headway.brokers.cloudtasks.withdraw import Withdrawal
from headway.clock import SystemClock
from headway.errors import BrokerUnavailableError, UnsupportedError
from headway.guards.document import remembered_ms
from headway.guards.url import from_url
from headway.job import check_unique

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType

    from headway.brokers.base import (
        BodySums,
        BrokerSettings,
        CancelResult,
        Enqueued,
        FireCall,
        JobPage,
        JobQuery,
        LogLine,
        MadeSchedule,
        PushRequest,
        PushResponse,
        QueueCounts,
        Report,
        ScheduleRecord,
        SettleResult,
        WorkerRecord,
    )
    from headway.brokers.base import LeaseState as State
    from headway.brokers.cloudtasks.api.calls import Connect
    from headway.brokers.cloudtasks.auth.verifier import Verifier
    from headway.clock import Clock
    from headway.events import Event
    from headway.job import Delivery, Fire, JobId, JobRecord, JobState, Lease, NewJob, Outcome, WorkerId


class CloudTasksBroker:
    """Google Cloud Tasks, or the emulator, and a guard's store for what they do not know.

    Nothing is connected before it is needed: a producer of plain jobs never speaks to the guard, a receiver speaks to
    Cloud Tasks only when a job goes on.
    """

    def __init__(
        self,
        url: str,
        settings: BrokerSettings,
        *,
        clock: Clock | None = None,
        connect: Connect | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        """Read URL and settings; nothing is opened yet. ConfigError.

        `connect` and `verifier` replace the official client and what the settings say of senders.
        """
        self._location = parse(url)
        self._settings = settings
        self._clock = SystemClock() if clock is None else clock
        guard = settings.options.guard
        store = from_url(guard, namespace=settings.namespace) if guard else None
        self._target = Target(settings)
        self._keeping = Keeping(store, settings, self._clock)
        self._api = Calls(self._location, service_account=self._target.service_account, connect=connect)
        waiting = Waiting(self._api, self._target)
        self._enqueuer = Enqueuer(self._api, self._target, waiting, self._keeping, self._clock)
        names = QueueNames(self._target, self._keeping, self._clock)
        self._inspection = Inspection(self._api, self._target, waiting, names, self._keeping, self._clock)
        self._counting = Counting(
            self._api, self._target, waiting, self._inspection, self._keeping, self._clock
        )
        self._acts = Acts(self._api, self._target, waiting, self._enqueuer, names, self._keeping, self._clock)
        self._withdrawal = Withdrawal(self._acts, self._keeping, self._clock)
        self._holding = Holding(self._api, self._target, self._keeping)
        self._schedules = KeptSchedules(self._keeping)
        self._made = MadeSchedules(self._keeping)
        self._verifier = verifier
        self._proving: Verifier | None = None
        self._receiving: Receiving | None = None
        self._is_open = False

    def __repr__(self) -> str:
        """Name the place and the app."""
        return f"<CloudTasksBroker {self._location.name} namespace={self._settings.namespace!r}>"

    @property
    def capabilities(self) -> Capabilities:
        """No order, no unique jobs, no events; priorities only with bands; a horizon of 30 days."""
        return Capabilities(
            name="cloudtasks",
            max_delay_ms=MAX_DELAY_MS,
            max_wait_ms=MAX_WAIT_MS,
            max_payload=MAX_PAYLOAD,
            priority=bool(self._target.bands),
            unique=False,
            fifo=False,
            events=False,
            atomic=False,
            reuse_ids=False,
            by_end=False,
            cap_succeeded=False,
            push=self,
            keys=self,
            mover=self,
        )

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def open(self) -> None:
        """Allow calls; each connection is made when it is first needed. Opening an open carrier does nothing."""
        self._is_open = True

    async def close(self) -> None:
        """Close the connections. Closing a closed carrier does nothing."""
        self._is_open = False
        self._receiving = self._proving = None
        try:
            await self._api.close()
        finally:
            await self._keeping.close()

    def _check_open(self) -> None:
        if not self._is_open:
            msg = f"{self._location.name}: the carrier is not open; use `async with`, or call open() first"
            raise BrokerUnavailableError(msg)

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[NewJob]) -> builtins.list[Enqueued]:
        """Create a task for each job. Not all or none: PartlyAcceptedError names those that were accepted."""
        self._check_open()
        return await self._enqueuer.enqueue(jobs)

    async def find_held(self, jobs: Sequence[NewJob]) -> builtins.list[JobId | None]:
        """Return for each job the one that stands in its way, by idempotency key or fire time."""
        self._check_open()
        return await self._holding.find_held(jobs)

    async def enqueue_held(self, jobs: Sequence[NewJob]) -> builtins.list[Enqueued | None]:
        """Leave all of them out: nobody holds a unique key here."""
        self._check_open()
        return [None for _ in check_unique(jobs)]

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> builtins.list[CancelResult]:
        """Cancel waiting jobs; those that run hear of it when their lease is extended."""
        self._check_open()
        return await self._acts.cancel(ids, reason)

    async def withdraw(self, ids: Sequence[JobId], reason: str) -> builtins.list[JobRecord | None]:
        """End waiting jobs that are to go on elsewhere."""
        self._check_open()
        return await self._withdrawal.withdraw(ids, reason)

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Ask the guard until the job is terminal, or gone, or the time is over; return its record as it is then."""
        self._check_open()
        return await finished(self._inspection, job_id, timeout_ms)

    # --- receiving ----------------------------------------------------------------------------------------------

    async def admit(self, headers: Mapping[str, str]) -> PushResponse | None:
        """Refuse whom the headers alone do not let in; the guard has no part in that."""
        self._check_open()
        return await admitted(self._proof(), headers)

    def sums(self, headers: Mapping[str, str]) -> BodySums | None:
        """Return what a body that is cut off is proven by."""
        return self._proof().sums(headers)

    async def receive(
        self,
        request: PushRequest,
        *,
        worker: WorkerId,
        lease_ms: int,
        queues: frozenset[str] = frozenset(),
    ) -> Delivery | FireCall | PushResponse:
        """Verify who sends, read the job and take its lease; a response when there is nothing to run."""
        receiving = await self._receives()
        return await receiving.receive(request, worker=worker, lease_ms=lease_ms, queues=queues)

    async def prepare_receiving(self) -> None:
        """Connect to the guard, and see what proves who sends."""
        await self._receives()

    async def answer(self, delivery: Delivery, outcome: Outcome) -> PushResponse:
        """Settle, make the task of what follows, and say what the sender is answered."""
        receiving = await self._receives()
        return await receiving.settling.answer(delivery, outcome)

    async def extend(self, leases: Sequence[Lease], lease_ms: int) -> builtins.list[State]:
        """Extend leases that nobody took over."""
        self._check_open()
        return await lease.extend(self._keeping, leases, lease_ms)

    async def report(self, reports: Sequence[Report]) -> builtins.list[SettleResult]:
        """Record progress and log lines of running jobs."""
        self._check_open()
        return await settle.report(self._keeping, reports)

    def guard_stats(self) -> GuardStats:
        """Return what the guard came to in this process so far; asks nobody."""
        guard = self._keeping.opened
        return GuardStats() if guard is None else guard.stats

    async def _receives(self) -> Receiving:
        self._check_open()
        self._target.check_any()
        guard = await self._keeping.guard("receiving jobs")
        if self._receiving is None:
            self._receiving = Receiving(
                namespace=self._settings.namespace,
                guard=guard,
                remembered_ms=remembered_ms(self._settings.retention),
                verifier=self._proof(),
                settling=Settling(guard, self._enqueuer.create),
                clock=self._clock,
            )
        return self._receiving

    def _proof(self) -> Verifier:
        if self._proving is None:
            self._proving = self._verifier or make_verifier(self._settings.options, self._clock)
        return self._proving

    # --- looking and acting -------------------------------------------------------------------------------------

    async def get(self, ids: Sequence[JobId]) -> builtins.list[JobRecord | None]:
        """Return the records, in the order of the ids."""
        self._check_open()
        return await self._inspection.get(ids)

    async def logs(self, job_id: JobId) -> builtins.list[LogLine]:
        """Return the job's log, oldest line first."""
        self._check_open()
        return await self._inspection.logs(job_id)

    async def list(self, query: JobQuery, *, after: str | None = None, limit: int = 100) -> JobPage:
        """List matching jobs: first those never delivered, by queue, then the others, the newest first."""
        self._check_open()
        return await self._inspection.page(query, after, limit)

    async def counts(self, queues: Sequence[str] | None = None) -> builtins.list[QueueCounts]:
        """Count by state; jobs that were never delivered take a call for each thousand."""
        self._check_open()
        return await self._counting.counts(queues)

    async def pause(self, queue: str) -> None:
        """Have Cloud Tasks dispatch no more of this queue."""
        self._check_open()
        await self._acts.pause(queue)

    async def resume(self, queue: str) -> None:
        """Have Cloud Tasks dispatch this queue again."""
        self._check_open()
        await self._acts.resume(queue)

    async def paused(self) -> frozenset[str]:
        """Return the paused queues."""
        self._check_open()
        return await self._inspection.paused()

    async def remove(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Forget jobs that do not run."""
        self._check_open()
        return await self._acts.remove(ids)

    async def retry(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Give failed, cancelled or expired jobs a new life."""
        self._check_open()
        return await self._acts.retry(ids)

    async def promote(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Make scheduled jobs ready now."""
        self._check_open()
        return await self._acts.promote(ids)

    async def drain(self, queue: str) -> int:
        """Remove all waiting jobs of the queue."""
        self._check_open()
        return await self._acts.drain(queue)

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """Remove completed jobs that finished longer ago than that."""
        self._check_open()
        return await self._acts.clean(state, older_than_ms, queue, limit)

    async def workers(self) -> builtins.list[WorkerRecord]:
        """There are none: leases are held by deliveries."""
        self._check_open()
        return []

    async def events_end(self) -> str:
        """Refuse: see `events`."""
        raise UnsupportedError(self._no_events)

    async def events_kept(self, after: str) -> bool:  # noqa: ARG002 - as in Inspector
        """Refuse: see `events`."""
        raise UnsupportedError(self._no_events)

    def events(self, after: str | None = None) -> AsyncIterator[Event]:  # noqa: ARG002 - as in Inspector
        """Not to be had: UnsupportedError."""
        raise UnsupportedError(self._no_events)

    @property
    def _no_events(self) -> str:
        return f"{self._location.name} has no stream of events; logs and traces of the receiver tell what happens"

    # --- schedules ----------------------------------------------------------------------------------------------

    async def declare_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Make these known and forget all others."""
        self._check_open()
        await self._schedules.declare(schedules)

    async def schedules(self) -> builtins.list[ScheduleRecord]:
        """Return all, sorted by name."""
        self._check_open()
        return await self._schedules.read()

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """Pause or resume; false when there is no such schedule."""
        self._check_open()
        return await self._schedules.pause(name, paused=paused)

    async def skip_fire(self, fire: Fire) -> None:
        """Mark the fire time as done without a job."""
        self._check_open()
        await self._schedules.skip(fire)

    async def made_schedules(self) -> builtins.list[MadeSchedule]:
        """Return those made at run time."""
        self._check_open()
        return await self._made.read()

    async def write_schedule(self, made: MadeSchedule, /, *, expected: int) -> bool:
        """Keep one made at run time, where the expected revision stands."""
        self._check_open()
        return await self._made.write(made, expected)
