"""A worker: one process that claims jobs, runs them, and settles their outcomes.

The life of a job here: `_fetch` claims it, `_begin` starts a task for it, `_run` has the executor perform it and the
settler settle it. `_listen` hears of work, cancellation and a lost lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from typing import TYPE_CHECKING, Final

from headway.brokers.base import CancelRequested, Connected, Handed, LeaseLost, Settlement, Wake
from headway.errors import BrokerError, BrokerUnavailableError
from headway.job import Delivery, Released, WorkerId, new_job_id
from headway.runtime.demand import Demand
from headway.runtime.executor import Executor
from headway.runtime.keeper import BEATS_PER_LEASE, beat
from headway.runtime.maintenance import first_look, tend
from headway.runtime.reporter import Reporter
from headway.runtime.resources import CLOSE_SECONDS, Lifespan
from headway.runtime.run import JobRun, Stop
from headway.runtime.runners import Runners
from headway.runtime.scheduler import Scheduler
from headway.runtime.settler import Settler
from headway.runtime.threads import Threads
from headway.service import Outage, Services, must_go_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.app.app import Headway
    from headway.brokers.base import Claimed, QueueWant, Signal
    from headway.job import JobRecord, Lease, Outcome
    from headway.runtime.processes import Processes
    from headway.runtime.slots import Slots

_log = logging.getLogger("headway.worker")

_LONGEST_WAIT: Final = (
    60.0  # seconds without a claim although nobody woke us: a wake-up lost to a frozen worker costs no more
)
_CONNECTION_LOOK: Final = 1.0  # seconds; a look asks nobody
_LISTEN_AGAIN: Final = 0.1  # seconds after the signals ended
_ASK_PAUSE: Final = 0.2  # seconds until a carrier that is away is asked again
_STALE_PREFETCH: Final = 1.0  # seconds after which a job that waits here behind a long one is handed back
_MAX_UNSETTLED: Final = 2000  # outcomes on their way to the carrier while new jobs are claimed
_AFTER_CANCEL: Final = 1.0  # seconds that a cancelled coroutine has to clean up during a drain
_LAST_SECONDS: Final = 2.0  # behind the grace time, in which resources may close: then a supervisor ends us

_LEAST_TO_CLOSE: Final = 0.5  # seconds


def new_worker_id() -> WorkerId:
    """Make an id that tells people where the worker runs and is never used twice."""
    host = "".join(c if c.isalnum() or c in "-." else "-" for c in socket.gethostname())[:40]
    return WorkerId(f"{host}-{os.getpid()}-{new_job_id()[-6:]}")


class Worker:
    """Runs an app's jobs on the running event loop until `stop` is called and all is handed back."""

    def __init__(  # noqa: PLR0913 - what the command line can set
        self,
        app: Headway,
        *,
        queues: Sequence[str] | None = None,
        concurrency: int | None = None,
        lease: float | None = None,
        grace: float | None = None,
        worker_id: WorkerId | None = None,
        slots: Slots | None = None,
        processes: Processes | None = None,
        supervised: bool = False,
        schedules: bool = True,
    ) -> None:
        """The app must be open on this loop. Durations are seconds; what is None comes from the app's settings.

        `supervised`: a supervisor keeps the lease, ends overdue processes and takes back what is left.
        """
        settings = app.settings
        self.id = worker_id or new_worker_id()
        self.queues = list(queues or settings.queues or app.queues)
        for queue in sorted(set(self.queues) - set(app.queues)):
            _log.warning("worker %s: no task of app %r is declared on queue %r", self.id, app.name, queue)
        self._app = app
        self._broker = app.pull_carrier
        self._lease_ms = round((lease or settings.lease) * 1000)
        self._grace = settings.grace if grace is None else grace
        self._supervised = supervised
        self._schedules = schedules
        self._slots = slots
        self._processes = processes
        count = concurrency or settings.concurrency
        self._demand = Demand(
            self.queues, count, limits=settings.queue_concurrency, weights=settings.queue_weights
        )
        self._threads = Threads(count)
        name = f"worker {self.id}"
        self.services = Services(_log, name, outage=Outage(_log, f"{name}: its carrier"))
        self._claims = self.services.watch("claim")
        self._settler = Settler(self._broker, self._answered, self.services.watch("settle"))
        self._reporter = Reporter(self._broker, app.clock, self.services.remarks)
        self._lifespan = Lifespan(app, name)
        self._executor = Executor(
            app,
            threads=self._threads,
            processes=processes,
            slots=slots,
            resources=self._lifespan.resources,
        )
        self._runners = Runners(self._executor, self._reporter, count, self._run_ended)
        self._claiming = False
        self._idling = False  # the carrier may wake this worker, or hand it a job
        self._unsettled = 0  # deliveries held here: running, waiting for a place, or on their way back
        self._places_freed = 0
        self._changed = asyncio.Event()  # a place is free, there may be work, or it is time to stop
        self._woken = True
        self._stopping = asyncio.Event()
        self._stopped_at: float | None = None  # time.monotonic()
        self.ready = asyncio.Event()  # listening and about to claim

    # --- from outside -------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Claim no more, finish what runs within the grace time, hand back the rest."""
        self._stopped_at = self._stopped_at or time.monotonic()
        self._lifespan.leave()
        self._stopping.set()
        self._changed.set()

    def lease_lost(self) -> None:
        """Stop every run: whatever is held here is someone else's now."""
        if self.holds:
            _log.warning("worker %s: the lease was lost; %d jobs are given up", self.id, self.holds)
        # What is no longer ours is superseded; what is (a claim made since) goes back.
        self._hand_back(self._runners.take_waiting())
        for run in self._runners.running:
            run.interrupt(Stop.LOST)
        self._claim_again()

    def _claim_again(self) -> None:
        """Look for jobs: a carrier that was emptied, or took the lease back, may know this worker no more."""
        self._woken = True
        self._changed.set()

    async def time_out(self, leases: Sequence[Lease]) -> None:
        """Settle jobs for which another worker was ended, as attempts that took longer than their limit.

        Under that one's leases: it is dead, and whoever took a job over meanwhile has a later epoch.
        """
        records = await self._asked(leases)
        deliveries: list[Delivery] = []
        for lease, record in zip(leases, records, strict=True):
            if record is None or record.epoch != lease.epoch or record.task not in self._app.known_tasks:
                continue
            delivery = Delivery(
                lease=lease,
                task=record.task,
                queue=record.queue,
                payload=record.payload,
                priority=record.priority,
                attempt=record.attempt,
                crashes=record.crashes,
                expires_ms=record.expires_ms,
                history=record.history,
            )
            deliveries.append(delivery)
        if deliveries:
            late = [self._executor.overdue(JobRun(one, self._reporter)) for one in deliveries]
            items = [Settlement(one.lease, outcome) for one, outcome in zip(deliveries, late, strict=True)]
            await self._settler.send(items, deliveries)

    async def _asked(self, leases: Sequence[Lease]) -> Sequence[JobRecord | None]:
        while True:
            try:
                return await self._broker.get([lease.job_id for lease in leases])
            except BrokerError:
                await asyncio.sleep(_ASK_PAUSE)

    @property
    def holds(self) -> int:
        """How many jobs are held here."""
        return self._unsettled

    async def run(self) -> None:
        """Open the resources and work until stopped; DeclarationError when a resource is written wrongly."""
        try:
            if await self._lifespan.open():
                await self._work()
        finally:
            self._threads.close()
            await self._lifespan.close(self._seconds_to_close())

    def _seconds_to_close(self) -> float:
        if self._stopped_at is None:
            return CLOSE_SECONDS
        left = self._stopped_at + self._grace + _LAST_SECONDS - time.monotonic()
        return min(CLOSE_SECONDS, max(_LEAST_TO_CLOSE, left))

    async def _work(self) -> None:
        self._listens = self.services.start("listen", self._listen)
        self.services.start("tend", self._tend, first=first_look())
        if isinstance(self._broker, Connected):
            self.services.start("connection", self._look_at_connection)
        self.services.start("hand back", self._hand_back_stale)
        self.services.start("time limits", self._executor.end_overdue)
        if not self._supervised:
            self.services.start("lease", self._beat, first=self._lease_ms / 1000 / BEATS_PER_LEASE)
        if self._schedules and self._app.schedules:
            self.services.start(
                "schedules", Scheduler(self._app, self.services.remarks, self._claim_again).round
            )
        try:
            await self._fetch()
            await self._drain()
        finally:
            await self.services.stop()

    async def _tend(self) -> float:
        settings = self._app.settings
        kept = min(settings.keep_succeeded, settings.keep_failed)
        return await tend(self._broker, busy=self.holds > 0, kept=kept)

    async def _look_at_connection(self) -> float:
        """Notice an outage before the first call is given up, and also while nothing is called."""
        if isinstance(self._broker, Connected) and (trouble := self._broker.trouble):
            raise BrokerUnavailableError(trouble)
        return _CONNECTION_LOOK

    async def _beat(self) -> float:
        return await beat(
            self._broker,
            self.id,
            self._lease_ms,
            holds=self.holds > 0,
            running=lambda: [run.delivery.lease for run in self._runners.running],
            lost=self.lease_lost,
        )

    # --- claiming -----------------------------------------------------------------------------------------------

    async def _fetch(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._fetch_once()
            except BaseException as error:
                if must_go_on(error):
                    raise
                await self._wait_until(lambda: False, self._claims.failed(error))

    async def _fetch_once(self) -> None:
        # What has ended takes no place, but a carrier that cannot keep up with outcomes is not asked for more.
        room = self._demand.room() if self._unsettled - self._demand.held < _MAX_UNSETTLED else 0
        wants = self._demand.wants(room) if room else []
        if not wants and not self._idling:
            before = self._places_freed
            await self._wait_until(lambda: self._places_freed != before)
            return
        self._woken = False
        claimed = await self._claim(wants, room if wants else 0)
        if self._idling and not self._woken:
            whole = len(wants) == len(self.queues) and all(want.limit == room for want in wants)
            await self._wait_for_work(self._until(claimed), freed=not whole)

    async def _claim(self, wants: list[QueueWant], room: int) -> Claimed:
        """Claim. To claim nothing says that no place is left: whoever is woken, or handed a job, should have one."""
        self._hold(claiming=True)
        try:
            claimed = await self._broker.claim(wants, worker=self.id, limit=room, lease_ms=self._lease_ms)
        finally:
            self._hold(claiming=False)
        self._claims.went_well()
        for delivery in claimed.deliveries:
            self._take(delivery)
        self._hold(claiming=False)
        self._demand.claimed(room, len(claimed.deliveries))
        self._idling = len(claimed.deliveries) < room
        self.ready.set()
        return claimed

    async def _leave(self) -> None:
        """Tell the carrier to wake others from now on."""
        if self._idling:
            await self._claim([], 0)
            self._hand_back(self._runners.take_waiting())

    def _take(self, delivery: Delivery) -> None:
        self._unsettled += 1
        self._demand.take(delivery.queue)
        self._runners.add(delivery)

    def _until(self, claimed: Claimed) -> float:
        if claimed.next_in_ms is None:
            return _LONGEST_WAIT * random.uniform(0.8, 1.2)  # noqa: S311 - spread
        return min(_LONGEST_WAIT, claimed.next_in_ms / 1000)

    async def _wait_for_work(self, seconds: float, *, freed: bool) -> None:
        """Wait until a wake-up: the queues were empty a moment ago.

        With `freed` a job that ends counts too: some queues were full.
        """
        before = self._places_freed
        await self._wait_until(lambda: self._woken or (freed and self._places_freed != before), seconds)

    async def _wait_until(self, happened: Callable[[], object], seconds: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if seconds is None else loop.time() + seconds):
                while not self._stopping.is_set() and not happened():
                    self._changed.clear()
                    await self._changed.wait()

    def _run_ended(self, run: JobRun, outcome: Outcome) -> None:
        now = time.monotonic()
        self._demand.ended(now - run.started, now)
        self._settler.settle(run.delivery, outcome)
        self._free_place(run.delivery)

    def _hand_back(self, deliveries: Sequence[Delivery]) -> None:
        # Last in, first back, so that the head of the queue keeps its order.
        for delivery in reversed(deliveries):
            self._settler.settle(delivery, Released())
            self._free_place(delivery)

    def _free_place(self, delivery: Delivery) -> None:
        self._demand.give(delivery.queue)
        self._places_freed += 1
        self._changed.set()

    def _answered(self, deliveries: Sequence[Delivery]) -> None:
        """Count deliveries that are off this worker's hands."""
        self._unsettled -= len(deliveries)
        self._hold(claiming=self._claiming)
        if self._unsettled - self._demand.held + len(deliveries) >= _MAX_UNSETTLED:
            self._places_freed += 1
            self._changed.set()

    def _hold(self, *, claiming: bool) -> None:
        """Tell the supervisor whether there is anything to keep a lease for."""
        self._claiming = claiming
        if self._slots is not None:
            self._slots.held = self._unsettled + claiming

    # --- listening ----------------------------------------------------------------------------------------------

    async def _listen(self) -> float:
        async for signal in self._broker.signals(self.id, handed=True):
            self._listens.went_well()
            self._hear(signal)
        return _LISTEN_AGAIN

    def _hear(self, signal: Signal) -> None:
        match signal:
            case Wake():
                self._claim_again()
            case Handed(delivery=delivery):
                self._take(delivery)
                self._hold(claiming=self._claiming)
                self._idling = False  # until the next claim
                self._woken = True  # claim again: that goes idle anew, and says that this one came
                self._changed.set()
                if self._stopping.is_set():
                    self._hand_back(self._runners.take_waiting())
            case CancelRequested(job_id=job_id):
                waiting = self._runners.cancel(job_id)
                if waiting is not None:
                    # Handed back: the carrier cancels it on the way.
                    self._hand_back([waiting])
            case LeaseLost():
                self.lease_lost()

    async def _hand_back_stale(self) -> float:
        """Hand back jobs that wait here behind long ones: other workers may be idle."""
        since = self._runners.waiting_since()
        if since is not None and since < time.monotonic() - _STALE_PREFETCH:
            self._hand_back(self._runners.take_waiting())
        return _STALE_PREFETCH / 2

    # --- draining -----------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        self._hand_back(self._runners.take_waiting())
        leaving = asyncio.create_task(
            self._leave()
        )  # beside the jobs that end: a carrier that is away costs no time
        if self._runners.running:
            _log.info(
                "worker %s: waiting up to %.1f s for %d jobs",
                self.id,
                self._grace,
                len(self._runners.running),
            )
        await self._runners.wait(self._grace)
        for run in self._runners.running:
            run.interrupt(Stop.DRAIN)
        await self._runners.wait(_AFTER_CANCEL)
        if not self._supervised:
            # Threads that go on: their jobs are handed back all the same, and their own outcome will be superseded.
            self._hand_back([run.delivery for run in self._runners.running])
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await self._settler.finish()
        if not self._supervised:
            # What was handed over while we went: nobody else would see to it before its lease ends.
            with contextlib.suppress(BrokerError):
                await self._broker.surrender(self.id, started=())
