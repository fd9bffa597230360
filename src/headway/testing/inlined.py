"""What `inline` gives a test: jobs run on its own event loop, through the real executor, over a real carrier."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from headway.app.task import Task
from headway.brokers.base import JobQuery, QueueWant
from headway.clock import from_ms
from headway.codec import decode_history
from headway.errors import Discard, JobFailedError, RetryLater
from headway.job import Failed, Released, WorkerId
from headway.runtime.executor import Executor
from headway.runtime.made import MadeScheduler
from headway.runtime.outcomes import Outcomes
from headway.runtime.reporter import Reporter
from headway.runtime.run import JobRun, Stop
from headway.runtime.scheduler import Scheduler
from headway.runtime.settler import Settler
from headway.runtime.threads import Interrupted, Threads
from headway.service import Services
from headway.testing.seen import SeenJob, seen
from headway.testing.wrapper import CarrierWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from headway.app.app import Headway
    from headway.job import Delivery, JobId, JobRecord, JobState, Outcome
    from headway.runtime.resources import Lifespan
    from headway.testing.clock import FakeClock
    from headway.testing.faults import FaultyBroker

_log = logging.getLogger("headway.testing")
_WORKER: Final = WorkerId("inline")
# The test's clock may leap by weeks while a job runs; nobody else is there to take it over.
_LEASE_MS: Final = 100 * 365 * 24 * 3600 * 1000
_THREADS: Final = 32  # a handler in a thread may wait for another that needs one too
_PAGE: Final = 1000


class InlineCarrier(CarrierWrapper):
    """A carrier whose jobs run when somebody waits for one of them: `await job.result()` needs no worker."""

    def __init__(self, inner: FaultyBroker) -> None:
        super().__init__(inner)
        self.work: Callable[[], Awaitable[object]] | None = None
        self.running: set[JobId] = set()

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Run what is ready, then return the record: at once when nothing here can bring the job to its end."""
        if self.work is not None:
            await self.work()
        if job_id in self.running:
            return await super().wait_finished(job_id, timeout_ms)
        return await super().wait_finished(job_id, 0)


class _Watched(Outcomes):
    """The real judge; it keeps the exceptions of handlers, of which the carrier only has the text."""

    raised: dict[JobId, BaseException]

    def of_error(self, run: JobRun, error: BaseException) -> Outcome:
        kind = type(error)
        if not issubclass(kind, RetryLater | Discard) and (
            run.stop in {None, Stop.TIMEOUT} or not issubclass(kind, asyncio.CancelledError | Interrupted)
        ):
            self.raised[run.delivery.lease.job_id] = error
        return super().of_error(run, error)


class Inline:
    """What `inline(app)` gives a test.

    `clock` is the app's clock, moved by hand: delays, back-offs, expiry and schedules follow it, time limits of running
    jobs are real time. `faults` is the carrier as the app sees it: tell it to fail. `errors` has the exceptions that
    handlers raised, in order.
    """

    def __init__(
        self,
        app: Headway,
        clock: FakeClock,
        carrier: InlineCarrier,
        faults: FaultyBroker,
        lifespan: Lifespan,
    ) -> None:
        """Made by `inline`."""
        self.app = app
        self.clock = clock
        self.faults = faults
        self.errors: list[BaseException] = []
        self._carrier = carrier
        self._store = faults.inner  # what the test asks is neither failed nor counted
        self._threads = Threads(_THREADS)
        self._outcomes = _Watched(app)
        self._outcomes.raised = {}
        self._lifespan = lifespan
        self._executor = Executor(
            app, threads=self._threads, outcomes=self._outcomes, resources=lifespan.resources
        )
        self.services = Services(_log, "inline")
        self.services.start("time limits", self._executor.end_overdue)
        self._settler = Settler(faults, answered=lambda _: None, loop=self.services.watch("settle"))
        self._reporter = Reporter(faults, clock, self.services.remarks)
        self._scheduler = Scheduler(app, self.services.remarks)
        self._made = MadeScheduler(app, self.services.remarks)
        self._next_in_ms: int | None = None
        self._attempts = 0
        carrier.work = self._run_ready

    async def run_until_idle(
        self,
        *,
        skip_delays: bool = False,
        raise_errors: bool = True,
        timeout: float = 30.0,  # noqa: ASYNC109 - a test that hangs must end
    ) -> int:
        """Run jobs, one after the other, until none is ready; return how many attempts were made.

        `skip_delays` moves the clock to the next due job again and again, so that delayed jobs and retries run as well.
        The first exception that a handler raised meanwhile is raised here, unless `raise_errors` is false; all are in
        `errors`. TimeoutError after `timeout` seconds of real time.
        """
        before, attempts = len(self.errors), self._attempts
        try:
            async with asyncio.timeout(timeout):
                await self._run_ready()
                while skip_delays and self._next_in_ms is not None:
                    self.clock.advance(self._next_in_ms)
                    await self._run_ready()
        except TimeoutError as error:
            msg = f"jobs were still ready or running after {timeout:g} s; the last one has been handed back"
            raise TimeoutError(msg) from error
        if raise_errors and len(self.errors) > before:
            raise self.errors[before]
        return self._attempts - attempts

    async def fire_schedules(self) -> int:
        """Enqueue the jobs of schedules that are due by the clock, as a worker would; return how many.

        When the job of a schedule cannot be made, the others are enqueued first, and then that error is raised.
        """
        known = len(await self.jobs())
        errors = (await self._scheduler.look()).errors | (await self._made.look()).errors
        for name, error in errors.items():
            error.add_note(f"raised by schedule {name!r}")
            raise error
        return len(await self.jobs()) - known

    async def declare_schedules(self) -> None:
        """Make the app's schedules known, as the first worker would; done by `inline`."""
        await self._scheduler.declare()

    async def jobs(
        self,
        task: Task[Any, Any] | str | None = None,
        *,
        state: JobState | None = None,
        queue: str | None = None,
    ) -> list[SeenJob]:
        """Return the jobs that were enqueued so far, in that order, of this task, state and queue if given."""
        query = JobQuery(
            states=() if state is None else (state,),
            queues=() if queue is None else (queue,),
            tasks=() if task is None else (task.name if isinstance(task, Task) else task,),
        )
        records: list[JobRecord] = []
        cursor: str | None = None
        while True:
            page = await self._store.list(query, after=cursor, limit=_PAGE)
            records += page.jobs
            cursor = page.cursor
            if cursor is None:
                return [
                    await seen(self.app, record) for record in sorted(records, key=lambda found: found.id)
                ]

    @property
    def now(self) -> datetime:
        """The present instant of the clock, in UTC."""
        return from_ms(self.clock.now_ms())

    async def close(self) -> None:
        """Close the resources, let the threads go; done by `inline`."""
        await self.services.stop()
        self._threads.close()
        await self._lifespan.close()

    async def _run_ready(self) -> None:
        while True:
            # Also queues that only an option of a job names.
            queues = [counts.queue for counts in await self._store.counts()]
            if queues and not self._lifespan.is_open:
                await self._lifespan.open()
            claimed = await self.faults.claim(
                [QueueWant(queue, 1) for queue in queues], worker=_WORKER, limit=1, lease_ms=_LEASE_MS
            )
            self._next_in_ms = claimed.next_in_ms
            if not claimed.deliveries:
                return
            for delivery in claimed.deliveries:
                await self._run(delivery)

    async def _run(self, delivery: Delivery) -> None:
        job_id = delivery.lease.job_id
        run = JobRun(delivery, self._reporter)
        self._attempts += 1
        # In a task of its own: the executor cancels the task that it runs in when the job's time is over.
        task = asyncio.create_task(self._executor.run(run))
        self._carrier.running.add(job_id)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            run.interrupt(Stop.DRAIN)
            await asyncio.wait({task}, timeout=1.0)
            await self._settle(delivery, task.result() if task.done() else Released())
            raise
        finally:
            self._carrier.running.discard(job_id)
        outcome = task.result()
        await self._settle(delivery, outcome)
        self._keep_error(job_id, outcome)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self._settler.settle(delivery, outcome)
        await self._settler.finish()

    def _keep_error(self, job_id: JobId, outcome: Outcome) -> None:
        error = self._outcomes.raised.pop(job_id, None)
        if error is None and isinstance(outcome, Failed):
            # Not the handler's: an unknown task, arguments that no longer fit, a result that cannot be written.
            last = next(iter(reversed(decode_history(outcome.history))), None)
            error = (
                JobFailedError(job_id, last.type, last.message) if last else JobFailedError(job_id, "", "")
            )
        if error is not None:
            error.add_note(f"raised by job {job_id}")
            self.errors.append(error)
