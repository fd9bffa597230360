"""From a delivery to its outcome: the one pipeline that every carrier's jobs go through, pulled or pushed."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from headway.app.context import Context
from headway.app.functions import alias_hint
from headway.app.lifespan import Resources
from headway.codec import is_reference
from headway.errors import CodecError, HeadwayError
from headway.job import SHADOW_TASK, Cancelled, Expired, Failed, Outcome, RetryAt, Succeeded
from headway.runtime.deaths import runs_alone
from headway.runtime.failure import JobTimeoutError
from headway.runtime.forks import end_fork, generation
from headway.runtime.invocation import Invocation, read_invocation
from headway.runtime.outcomes import Outcomes, log
from headway.runtime.run import JobRun, Stop, absorb
from headway.runtime.timelimits import TO_SETTLE, TimeLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from headway.app.app import Headway
    from headway.app.task import Task
    from headway.runtime.around import Around
    from headway.runtime.processes import Processes
    from headway.runtime.slots import Slots
    from headway.runtime.threads import Threads

_SUSPECT_PAUSE: Final = 2.0  # seconds until there may be room for a job that must run alone


class Executor:
    """Runs jobs of an app."""

    def __init__(
        self,
        app: Headway,
        *,
        threads: Threads,
        processes: Processes | None = None,
        slots: Slots | None = None,
        outcomes: Outcomes | None = None,
        resources: Resources | None = None,
    ) -> None:
        """`slots` is the table that the supervisor watches; without one there is no hard end."""
        self._app = app
        self._resources = Resources(app.name, app.resources) if resources is None else resources
        self._tasks: Mapping[str, Task[Any, Any]] = app.known_tasks
        self._threads = threads
        self._processes = processes
        self._slots = slots
        self._offload_over = sys.maxsize if app.offload is None else app.offload.over
        self._max_crashes = app.settings.max_crashes
        self._kill_after = app.settings.kill_after
        self._born = generation.number
        self._logs_all = log.isEnabledFor(logging.DEBUG)
        self.outcomes = outcomes or Outcomes(app)
        self._around = _around(app, threads, self.outcomes, self._resources, self._born)
        self._limits = TimeLimits(self.outcomes, slots, self._kill_after)

    async def run(self, run: JobRun) -> Outcome:
        """Run the job and say how it ended, once its last reports are recorded.

        Never raises, and ends with one outcome, whatever happens on the way; a run is stopped through
        `JobRun.interrupt`.
        """
        if self._logs_all:
            self.outcomes.log_start(run.delivery)
        closed = False
        try:
            outcome = self._refusal(run)
            if outcome is None:
                task = self._tasks.get(run.delivery.task)
                outcome = await (self._shadowed(run) if task is None else self._call(run, task))
        except BaseException as error:  # noqa: BLE001 - a fault of ours: counted, recorded and ended like one of the job
            # GeneratorExit, raised by something that the handler awaits, closes every coroutine on its way: none of
            # them may await any more, and those that await this one get it too.
            closed = issubclass(type(error), GeneratorExit)
            outcome = self.outcomes.of_error(run, error)
        if self._slots is not None:
            self._slots.end(run.slot)
        if run.reporter.busy(run.delivery.lease) and not closed:
            # Its last log lines first: behind the outcome they would be refused.
            try:
                await run.flush()
            except BaseException as error:  # noqa: BLE001 - logged
                self.outcomes.log_lost_reports(run.delivery, error)
        if (self._logs_all or type(outcome) is not Succeeded) and not run.given_up:
            self.outcomes.log(run.delivery, outcome, time.monotonic() - run.started)
        return outcome

    async def _shadowed(self, run: JobRun) -> Outcome:
        """Discard the copy of a job, or run what its task has for copies; nothing else, and once."""
        task = self._tasks.get(run.delivery.task.removeprefix(SHADOW_TASK))
        if task is None or task.shadow is None:
            return Succeeded()
        if run.delivery.crashes:
            text = "the process that ran it died: a copy is not begun again"
            return self.outcomes.refused(run.delivery, "ShadowLost", text)
        outcome = await self._call(run, task.shadow)
        return Failed(outcome.history) if isinstance(outcome, RetryAt) else outcome

    def _call(self, run: JobRun, task: Task[Any, Any]) -> Awaitable[Outcome]:
        """Begin the attempt; what is offloaded, or runs in a process, takes a longer way than the others."""
        delivery = run.delivery
        if delivery.crashes or is_reference(delivery.payload) or task.options_declared.run_in == "process":
            return self._call_far(run, task)
        call = self._decoded(run, task, run.delivery.payload)
        if not isinstance(call, Invocation):
            return _answer(call)
        if self._slots is not None:
            self._enter(run, call.timeout + self._kill_after + TO_SETTLE)
        return self.perform(run, task, call)

    async def _call_far(self, run: JobRun, task: Task[Any, Any]) -> Outcome:
        call = await self.read(run, task)
        if not isinstance(call, Invocation):
            return call
        suspect = runs_alone(run.delivery.crashes, self._max_crashes)
        processes = self._processes if suspect or task.options_declared.run_in == "process" else None
        if processes is None:
            self._enter(run, call.timeout + self._kill_after + TO_SETTLE)
            return await self.perform(run, task, call)
        if suspect and not processes.room_for_suspect:
            return self.outcomes.postponed(run.delivery, _SUSPECT_PAUSE)
        if self._slots is not None:
            # It is ended there, without harm to this process.
            run.slot = self._slots.start(run.delivery.lease, 0.0, run.lane, apart=True)
        # What the fetch of an offloaded call took is gone.
        left = run.seconds_left(call.timeout) if is_reference(run.delivery.payload) else call.timeout
        return await processes.run(run, left, self.outcomes, suspect=suspect)

    def _enter(self, run: JobRun, seconds: float) -> None:
        """Enter the run into the table that the supervisor watches, with its hard end in so many seconds."""
        if self._slots is not None:
            run.slot = self._slots.start(run.delivery.lease, time.monotonic() + seconds, run.lane)

    async def read(self, run: JobRun, task: Task[Any, Any]) -> Invocation | Outcome:
        """Decode the call of the run, fetched first when it is offloaded; an outcome when that fails.

        The fetch is part of the attempt and of its time: the sender of a pushed job waits no longer than for others.
        """
        payload = run.delivery.payload
        try:
            if is_reference(payload):
                from headway.offload.payloads import read_reference, whole  # noqa: PLC0415 - only for large calls

                timeout_ms = read_reference(payload).timeout_ms or task.options_declared.timeout_ms
                with self._limits.bound(run, timeout_ms / 1000):
                    payload = await run.stoppable(whole(self._app.offload, payload))
        except CodecError as error:
            return self.outcomes.failed(run.delivery, error)
        except BaseException as error:  # noqa: BLE001 - the store's failures, and being stopped while it is asked
            if run.stop is Stop.TIMEOUT and isinstance(error, asyncio.CancelledError):
                where = "its call was not fetched from the offload store within the limit"
                error = JobTimeoutError(f"{where} (timeout of task {task.name!r})")
            return self.outcomes.of_error(run, error)
        return self._decoded(run, task, payload)

    def _decoded(self, run: JobRun, task: Task[Any, Any], payload: bytes) -> Invocation | Outcome:
        try:
            return read_invocation(task, payload)
        except MemoryError as error:  # there may be more the next time
            return self.outcomes.of_error(run, error)
        except BaseException as error:  # noqa: BLE001 - also whatever a class of the application raises when it is read
            return self.outcomes.failed(run.delivery, error)

    async def perform(self, run: JobRun, task: Task[Any, Any], invocation: Invocation) -> Outcome:
        """Call the handler within its time and judge how it ended."""
        args = invocation.args
        kwargs = invocation.kwargs
        if task.signature.takes_context:
            args = (self._context(run, invocation.headers), *args)
        value: Any = None
        error: BaseException | None = None
        current: asyncio.Task[Any] | None = None
        try:
            with self._limits.bound(run, invocation.timeout):
                if self._around is not None:
                    current = run.cancellable()
                    value, error = await self._around.run(run, task, invocation, args)
                elif task.is_async:
                    current = run.cancellable()
                    value = await task.fn(*args, **kwargs)
                else:
                    value, error = await self._threads.run(run, functools.partial(task.fn, *args, **kwargs))
        except BaseException as raised:  # noqa: BLE001 - whatever a handler raises is the job's, not the worker's
            error = raised
        end_fork(self._born)
        if current is not None:
            run.on_interrupt(None)
            if current.cancelling():
                await absorb(current)
        if error is not None:
            return self.outcomes.of_error(run, error)
        try:
            result = task.signature.encode_result(self._app.codec, value)
        except BaseException as raised:  # noqa: BLE001 - also whatever a model raises when it is asked for its fields
            # What the handler does is done; doing it again would not make its result any better.
            return self.outcomes.failed(run.delivery, raised)
        if len(result) > self._offload_over:
            return await self._offloaded(run, result)
        return Succeeded(result)

    async def _offloaded(self, run: JobRun, result: bytes) -> Outcome:
        """Put a large result into the offload store."""
        offload = self._app.offload
        try:
            kept = result if offload is None else await offload.keep_result(run.delivery.lease.job_id, result)
        except HeadwayError as raised:
            return self.outcomes.of_error(run, raised)
        return Succeeded(kept)

    def _refusal(self, run: JobRun) -> Outcome | None:
        """What ends a job before its handler is called."""
        delivery = run.delivery
        if run.stop is not None:
            return self.outcomes.of_stop(run)
        if delivery.cancel_requested:
            return Cancelled()
        if delivery.expires_ms is not None and delivery.expires_ms <= self.outcomes.now_ms():
            return Expired()
        if delivery.crashes >= self._max_crashes:
            return self.outcomes.poisoned(delivery, delivery.crashes)
        if delivery.task not in self._tasks and not delivery.task.startswith(SHADOW_TASK):
            text = f"no task {delivery.task!r} is declared in app {self._app.name!r} of this worker"
            text += alias_hint(delivery.task, self._app.tasks)
            return self.outcomes.refused(delivery, "UnknownTask", text)
        return None

    def on_give_up(self, given_up: Callable[[JobRun, Outcome], None]) -> None:
        """Call this with a run that does not end although its time is over, and the outcome it has nevertheless."""
        self._limits.given_up = given_up

    def overdue(self, run: JobRun) -> Outcome:
        """Judge a run whose process was ended for it: an attempt that took longer than its limit."""
        outcome = self.outcomes.of_overdue(run, "its process was ended for it")
        self.outcomes.log(run.delivery, outcome, time.monotonic() - run.started)
        return outcome

    async def end_overdue(self) -> float:
        """Stop runs whose time is over, give up those that go on; return the seconds until the next look."""
        return self._limits.look()

    def _context(self, run: JobRun, headers: Mapping[str, str]) -> Context:
        delivery = run.delivery
        return Context(
            job_id=delivery.lease.job_id,
            task=delivery.task,
            queue=delivery.queue,
            attempt=delivery.attempt,
            crashes=delivery.crashes,
            headers=headers,
            app=self._app,
            channel=run,
            resources=self._resources,
        )


def _around(
    app: Headway, threads: Threads, outcomes: Outcomes, resources: Resources, born: int
) -> Around | None:
    """Return what runs handlers within the app's middleware; None: there is none, and nothing of it is loaded."""
    if not app.middlewares:
        return None
    from headway.runtime.around import Around  # noqa: PLC0415 - as above

    return Around(app.middlewares, threads=threads, outcomes=outcomes, resources=resources, born=born)


async def _answer(outcome: Outcome) -> Outcome:
    return outcome
