"""The jobs under way in a receiver: each runs in the executor of the workers, and its outcome becomes an answer."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError
from headway.job import Released
from headway.push.http import come_back
from headway.push.renew import Renewal
from headway.raised import in_one_line
from headway.runtime.current import current_run
from headway.runtime.executor import Executor
from headway.runtime.reporter import Reporter
from headway.runtime.run import JobRun, Stop
from headway.runtime.threads import Threads
from headway.service import Outage, Services, must_go_on

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.app.counting import Counting
    from headway.app.lifespan import Resources
    from headway.brokers.base import PushCarrier, PushResponse
    from headway.job import Delivery, JobId, Outcome
    from headway.runtime.processes import Processes

_log = logging.getLogger("headway.push")

_LONGEST_RUN: Final = (
    29.5 * 60
)  # seconds; the longest dispatch deadline is 30 min, and the answer must come before it
_NOT_KEPT: Final = 503  # the status while an outcome could not be kept: the job runs again
_UNAVAILABLE: Final = 5  # seconds until a task comes back whose outcome could not be kept


class _Job:
    """One delivery: its run, and the outcome that will be answered. The first outcome stands."""

    def __init__(self, delivery: Delivery, reporter: Reporter) -> None:
        self.run = JobRun(delivery, reporter)
        loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Outcome] = loop.create_future()
        self.answered: asyncio.Future[None] = loop.create_future()

    @property
    def id(self) -> JobId:
        return self.run.delivery.lease.job_id

    def end(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Runs:
    """Runs deliveries. How many at once is the caller's business; `count` is the number of threads."""

    def __init__(  # noqa: PLR0913 - each is a part of its own
        self,
        app: Headway,
        broker: PushCarrier,
        *,
        count: int,
        lease_ms: int,
        processes: Processes | None = None,
        resources: Resources | None = None,
        name: str = "",
        counting: Counting | None = None,
        counted_as: str = "",
    ) -> None:
        """`name` is the carrier's, where the receiver serves several; `counting` counts its jobs as `counted_as`."""
        self._counting = counting
        self._counted_as = counted_as
        self._clock = app.clock
        self._broker = broker
        self._lease_ms = lease_ms
        self._threads = Threads(count)
        owner, which = (f"receiver, carrier {name}", f" of carrier {name}") if name else ("receiver", "")
        outage = Outage(_log, f"receiver: the guard or Cloud Tasks{which}")
        self.services = Services(_log, owner, outage=outage)
        self._answers = self.services.watch("answer")
        self._reporter = Reporter(broker, app.clock, self.services.remarks)
        self._executor = Executor(app, threads=self._threads, processes=processes, resources=resources)
        self._executor.on_give_up(self._give_up)
        self._jobs: set[_Job] = set()
        self._performing: set[asyncio.Task[None]] = set()
        self._give_up_at = float("inf")  # time.monotonic() after which no answer is tried again

    def start(self) -> None:
        """Begin to look after leases and time limits."""
        self.services.start("time limits", self._executor.end_overdue)
        renewal = Renewal(
            self._broker, self._lease_ms, lambda: [job.run for job in self._jobs], self.services.remarks
        )
        self.services.start("leases", renewal.round)
        if self._counting is not None:
            self.services.start("figures", self._counting.round, first=self._counting.pause())

    async def close(self) -> None:
        """End the services and the threads that are idle."""
        await self.services.stop()
        self._threads.close()

    @property
    def ids(self) -> list[JobId]:
        """The jobs under way."""
        return [job.id for job in self._jobs]

    async def run(self, delivery: Delivery) -> PushResponse:
        """Run a delivery and settle its outcome; return what its sender is answered. Must not be cancelled."""
        job = _Job(delivery, self._reporter)
        self._jobs.add(job)
        performing = asyncio.create_task(self._perform(job), name=f"job {job.id}")
        job.run.task = performing
        self._performing.add(performing)
        performing.add_done_callback(self._performing.discard)
        limit = asyncio.get_running_loop().call_later(_LONGEST_RUN, job.run.interrupt, Stop.TIMEOUT)
        try:
            outcome = await job.outcome
            times = (job.run.started, time.monotonic())
            answer = await self._answer(delivery, outcome)
            if self._counting is not None and answer.status != _NOT_KEPT:
                self._counting.gatherer.settled(
                    self._counted_as,
                    self._clock.now_ms(),
                    time.monotonic(),
                    [(delivery, outcome, times, not answer.superseded)],
                )
            return answer
        finally:
            limit.cancel()
            self._jobs.discard(job)
            job.answered.set_result(None)

    async def hand_back(self, soft: float, hard: float, end: float) -> None:
        """Let jobs finish until `soft`, then interrupt them; hand back at `hard` what goes on; give up at `end`.

        All three are instants of time.monotonic().
        """
        self._give_up_at = end
        await self._wait_until(soft)
        for job in list(self._jobs):
            job.run.interrupt(Stop.DRAIN)
        await self._wait_until(hard)
        for job in list(self._jobs):
            if not job.outcome.done():
                _log.warning("job %s: goes on although it was interrupted; it is handed back", job.id)
                job.end(Released())
        await self._wait_until(end)
        for job in self._jobs:
            _log.error("job %s: could not be handed back; it runs again after its lease", job.id)

    async def _wait_until(self, at: float) -> None:
        left = at - time.monotonic()
        if self._jobs and left > 0:
            await asyncio.wait([job.answered for job in self._jobs], timeout=left)

    async def _perform(self, job: _Job) -> None:
        current_run.enter(job.run)
        try:
            outcome = await self._executor.run(job.run)
        except GeneratorExit as error:  # it closes every coroutine on its way: see the executor
            outcome = self._executor.outcomes.of_error(job.run, error)
        job.end(outcome)

    async def _answer(self, delivery: Delivery, outcome: Outcome) -> PushResponse:
        """Have the outcome kept, again and again for as long as the lease may hold; else the job runs once more."""
        give_up_at = time.monotonic() + self._lease_ms / 1000
        while True:
            try:
                answer = await self._broker.answer(delivery, outcome)
            except BaseException as error:
                if must_go_on(error):
                    raise
                pause = self._answers.failed(error)
                late = time.monotonic() + pause > min(give_up_at, self._give_up_at)
                if late or not isinstance(error, BrokerError):
                    _log.error(
                        "job %s: its outcome %s could not be kept, it will run again: %s",
                        delivery.lease.job_id,
                        type(outcome).__name__,
                        in_one_line(error),
                    )
                    return come_back(_NOT_KEPT, _UNAVAILABLE)
                await self._answers.pause(pause)
            else:
                self._answers.went_well()
                return answer

    def _give_up(self, run: JobRun, outcome: Outcome) -> None:
        """Answer for a job that does not end although its time is over: its thread cannot be ended from outside."""
        for job in self._jobs:
            if job.run is run:
                job.end(outcome)
