"""A worker: one process that claims jobs, runs them, and settles their outcomes.

It serves every carrier with workers that its app has, each on a lane of its own (`lane.py`); places, threads and the
executor are shared by all.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Final

from headway.app.counting import counting
from headway.app.rollouts import controller
from headway.errors import ConfigError
from headway.job import SHADOW_QUEUE, Delivery, WorkerId, new_job_id
from headway.runtime.carriers import pull_carriers
from headway.runtime.demand import Demand
from headway.runtime.executor import Executor
from headway.runtime.lane import Lane, Shared
from headway.runtime.made import MadeScheduler
from headway.runtime.resources import CLOSE_SECONDS, Lifespan
from headway.runtime.run import JobRun, Stop
from headway.runtime.runners import Runners
from headway.runtime.scheduler import Scheduler
from headway.runtime.share import Places
from headway.runtime.slots import MAX_LANES
from headway.runtime.threads import Threads
from headway.service import Outage, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.app.app import Headway
    from headway.app.counting import Count, Measured
    from headway.brokers.base import Carrier
    from headway.job import Lease
    from headway.runtime.processes import Processes
    from headway.runtime.slots import Slots

_log = logging.getLogger("headway.worker")

_STALE_PREFETCH: Final = 1.0  # seconds after which a job that waits here behind a long one is handed back
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
        carriers: Sequence[str] | None = None,
        concurrency: int | None = None,
        lease: float | None = None,
        grace: float | None = None,
        worker_id: WorkerId | None = None,
        slots: Slots | None = None,
        processes: Processes | None = None,
        supervised: bool = False,
        schedules: bool = True,
        on_outage: Callable[[int, str], None] | None = None,
        on_drain: Callable[[], None] | None = None,
    ) -> None:
        """The app must be open on this loop. Durations are seconds; what is None comes from the app's settings.

        `carriers` are the names of those to serve; None: all with workers. `supervised`: a supervisor keeps the lease,
        ends overdue processes and takes back what is left. `on_outage` is told instead of the log that a carrier is not
        available: the number of its lane, and why; empty when it is again. `on_drain` is told, perhaps more than once,
        that somebody asked for this worker to drain; None: it stops by itself. ConfigError when there is no such
        carrier.
        """
        settings = app.import_included().settings
        served = pull_carriers(app.carriers, carriers)
        if len(served) > MAX_LANES:
            msg = (
                f"carriers: one worker serves {MAX_LANES} at most, the app has {len(served)}; use --carriers"
            )
            raise ConfigError(msg)
        self.id = worker_id or new_worker_id()
        self.queues = list(queues or settings.queues or app.queues)
        for queue in sorted(set(self.queues) - set(app.queues)):
            _log.warning("worker %s: no task of app %r is declared on queue %r", self.id, app.name, queue)
        if len(app.carriers) > 1 and not (queues or settings.queues):
            self.queues.append(SHADOW_QUEUE)  # copies of jobs, by which a carrier is tried out
        self._app = app
        self._grace = settings.grace if grace is None else grace
        self._supervised = supervised
        self._schedules = schedules
        count = concurrency or settings.concurrency
        self._count = count
        self._threads = Threads(count)
        self._lifespan = Lifespan(app, f"worker {self.id}")
        self._executor = Executor(
            app,
            threads=self._threads,
            processes=processes,
            slots=slots,
            resources=self._lifespan.resources,
        )
        self._counting = counting(app.carriers, self.id, app.clock)
        if self._counting is not None:
            self._counting.measure = self._measure
        self.lanes: list[Lane] = []
        self._runners = Runners(self._executor, count, self.lanes)
        self._stopping = asyncio.Event()
        self._stopped_at: float | None = None  # time.monotonic()
        shared = Shared(
            worker=self.id,
            queues=self.queues,
            lease_ms=round((lease or settings.lease) * 1000),
            kept=min(settings.keep_succeeded, settings.keep_failed),
            clock=app.clock,
            runners=self._runners,
            slots=slots,
            supervised=supervised,
            stopping=self._stopping,
            on_outage=on_outage,
            on_drain=on_drain or self._drain_asked,
        )
        self._open_lanes(
            served,
            shared,
            Demand(self.queues, count, limits=settings.queue_concurrency, weights=settings.queue_weights),
        )
        self.services = self.lanes[0].services
        self.ready = self.lanes[0].ready
        """Set when it listens and is about to claim; with several carriers when one answers and no other is awaited."""
        if len(self.lanes) > 1:
            name = f"worker {self.id}"
            self.services = Services(_log, name, outage=Outage(_log, f"{name}: the carrier of its schedules"))
            self.ready = asyncio.Event()
        self._rollouts = controller(
            app.carriers, settings, app.clock, holder=f"worker {self.id}", remarks=self.services.remarks
        )

    def _open_lanes(self, served: dict[str, Carrier], shared: Shared, demand: Demand) -> None:
        if len(served) == 1:
            [carrier] = served.values()
            lane = Lane(carrier, shared, count=self._count_of(next(iter(served))))
            lane.demand = demand
            self.lanes.append(lane)
            return
        places = Places(demand, self._stay_full)
        for number, (name, carrier) in enumerate(served.items()):
            lane = Lane(carrier, shared, number=number, name=name, count=self._count_of(name))
            lane.demand = places.share(lane.changed)
            self.lanes.append(lane)

    def _count_of(self, name: str) -> Count | None:
        return None if self._counting is None else self._counting.of_carrier(name)

    def _measure(self) -> Measured:
        """Return what metrics say of this process beside its figures."""
        connected = [one.capabilities.connected for one in self._app.carriers.values()]
        traffic = [one.traffic for one in connected if one is not None]
        return (
            {
                "leases_lost": sum(lane.leases_lost for lane in self.lanes),
                "commands": sum(one.commands for one in traffic),
            },
            {
                "places": self._count,
                "places_used": sum(lane.holds for lane in self.lanes),
                "connections": sum(one.connections for one in traffic),
            },
        )

    # --- from outside -------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Claim no more, finish what runs within the grace time, hand back the rest."""
        self._stopped_at = self._stopped_at or time.monotonic()
        self._lifespan.leave()
        self._stopping.set()
        for lane in self.lanes:
            lane.changed()

    def _drain_asked(self) -> None:
        if not self._stopping.is_set():
            _log.info("worker %s: somebody asked it to drain; it ends", self.id)
            self.stop()

    def lease_lost(self, lane: int = 0) -> None:
        """Stop every run of the lane with this number: its lease was lost, other workers may have the jobs."""
        self.lanes[lane].lease_lost()

    async def time_out(self, leases: Sequence[Lease], lane: int = 0) -> None:
        """Settle jobs for which another worker was ended, as attempts that took longer than their limit.

        Under that one's leases: it is dead, and whoever took a job over meanwhile has a later epoch. `lane` is the
        number of the lane of their carrier.
        """
        its = self.lanes[lane]
        records = await its.records(leases)
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
            late = [self._executor.overdue(JobRun(one, its.reporter)) for one in deliveries]
            await its.settle(deliveries, late)

    @property
    def holds(self) -> int:
        """How many jobs are held here."""
        return sum(lane.holds for lane in self.lanes)

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
        for lane in self.lanes:
            lane.start()
        self.services.start("hand back", self._hand_back_stale)
        self.services.start("time limits", self._executor.end_overdue)
        if self._schedules and self._app.schedules:
            self.services.start(
                "schedules", Scheduler(self._app, self.services.remarks, self._claim_again).round
            )
        if self._schedules:
            self.services.start(
                "schedules made at run time", MadeScheduler(self._app, self.services.remarks).round
            )
        if self._counting is not None:
            self.services.start("figures", self._counting.round, first=self._counting.pause())
        if (rollouts := self._rollouts) is not None:
            self.services.start("rollouts", rollouts.round)
            if self._counting is not None:
                self._counting.hurried = lambda: rollouts.active
        seeing = asyncio.create_task(self._see_ready())
        try:
            async with asyncio.TaskGroup() as fetching:
                for lane in self.lanes:
                    fetching.create_task(lane.fetch())
            await self._drain()
        finally:
            seeing.cancel()
            for lane in self.lanes:
                await lane.services.stop()
            await self.services.stop()
            if self._rollouts is not None:
                await self._rollouts.finish()

    async def _see_ready(self) -> None:
        """Set `ready` once a carrier has answered and none is still being asked for the first time."""
        for lane in self.lanes:
            await lane.asked.wait()
        answers = [asyncio.ensure_future(lane.ready.wait()) for lane in self.lanes]
        try:
            await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for answer in answers:
                answer.cancel()
        self.ready.set()

    def _claim_again(self) -> None:
        for lane in self.lanes:
            lane.claim_again()

    def _stay_full(self) -> None:
        for lane in self.lanes:
            lane.stay_full()

    async def _hand_back_stale(self) -> float:
        """Hand back jobs that wait here behind long ones: other workers may be idle."""
        since = self._runners.waiting_since()
        if since is not None and since < time.monotonic() - _STALE_PREFETCH:
            self._hand_back_waiting()
        return _STALE_PREFETCH / 2

    def _hand_back_waiting(self) -> None:
        for lane in self.lanes:
            lane.hand_back_waiting()

    # --- draining -----------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        self._hand_back_waiting()
        # Beside the jobs that end: a carrier that is away costs no time.
        leaving = [asyncio.create_task(lane.leave()) for lane in self.lanes]
        running = self._runners.running
        if running:
            _log.info("worker %s: waiting up to %.1f s for %d jobs", self.id, self._grace, len(running))
        await self._runners.wait(self._grace)
        for run in self._runners.running:
            run.interrupt(Stop.DRAIN)
        await self._runners.wait(_AFTER_CANCEL)
        if not self._supervised:
            # Threads that go on: their jobs are handed back all the same, and their own outcome will be superseded.
            for lane in self.lanes:
                lane.hand_back([run.delivery for run in lane.runs.values()])
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await asyncio.gather(*(lane.finish() for lane in self.lanes))
        if self._counting is not None:
            await self._counting.finish()
