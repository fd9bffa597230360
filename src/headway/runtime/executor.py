"""From a delivery to its outcome: the one pipeline that every carrier's jobs go through, pulled or pushed."""

from __future__ import annotations

import asyncio
import functools
import random
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.clock import duration_ms
from headway.codec import decode_call, is_reference
from headway.context import Context
from headway.errors import CodecError, Discard, EnqueueError, HeadwayError, RetryLater
from headway.job import (
    Cancelled,
    Expired,
    Failed,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
)
from headway.retry import GiveUp, RetryAfter
from headway.runtime.failure import JobTimeoutError, error_of, with_error
from headway.runtime.run import JobRun, Stop
from headway.runtime.threads import Interrupted, Threads
from headway.storable import storable

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from headway.app import Headway
    from headway.runtime.processes import Processes
    from headway.runtime.slots import Slots
    from headway.task import Task

_LOOK_SECONDS: Final = 0.25
_PRECISE_BELOW: Final = 5.0  # seconds: shorter limits get a timer of their own
_RANDOM: Final = random.Random()  # noqa: S311 - jitter, not a secret


class Invocation(Struct, frozen=True):
    """A call, decoded. `timeout` is seconds."""

    args: list[Any] | tuple[Any, ...]
    kwargs: dict[str, Any]
    headers: dict[str, str]
    timeout: float


def read_invocation(task: Task[Any, Any], payload: bytes) -> Invocation:
    """Decode a call; CodecError names what is damaged or does not fit."""
    whole = task.signature.decode_positional(payload)
    if whole is not None:
        timeout_ms = whole.timeout_ms or task.options_declared.timeout_ms
        return Invocation(whole.args, {}, whole.headers, timeout_ms / 1000)
    call, form = decode_call(payload)
    args, kwargs = task.signature.decode(call, form)
    return Invocation(
        args, kwargs, call.headers, (call.timeout_ms or task.options_declared.timeout_ms) / 1000
    )


class Executor:
    """Runs jobs of an app."""

    def __init__(
        self,
        app: Headway,
        *,
        threads: Threads,
        processes: Processes | None = None,
        slots: Slots | None = None,
    ) -> None:
        """`slots` is the table that the supervisor watches; without one there is no hard end."""
        self._app = app
        self._tasks: Mapping[str, Task[Any, Any]] = app.tasks
        self._threads = threads
        self._processes = processes
        self._slots = slots
        self._offload_over = sys.maxsize if app.offload is None else app.offload.over
        self._max_crashes = app.settings.max_crashes
        self._watched: set[JobRun] = set()

    async def run(self, run: JobRun) -> Outcome:
        """Run the job and say how it ended.

        Never raises for what the job does; a run is stopped through `JobRun.interrupt`.
        """
        delivery = run.delivery
        if (refused := self._refusal(run)) is not None:
            return refused
        task = self._tasks[delivery.task]
        invocation = (
            await self.read(run, task) if is_reference(delivery.payload) else self._decoded(run, task)
        )
        if not isinstance(invocation, Invocation):
            return invocation
        if self._slots is not None:
            # A job in a process of its own is ended there first.
            ends = 3 if task.options_declared.run_in == "process" else 1
            hard = time.monotonic() + invocation.timeout + ends * self._app.settings.kill_after
            run.slot = self._slots.start(delivery.lease.job_id, hard)
        try:
            if task.options_declared.run_in == "process" and self._processes is not None:
                return await self._processes.run(
                    run,
                    # What the fetch of an offloaded call took is gone.
                    _left(run, invocation.timeout) if is_reference(delivery.payload) else invocation.timeout,
                    lambda error: self._judge_error(run, task, error),
                )
            return await self.perform(run, task, invocation)
        finally:
            if self._slots is not None:
                self._slots.end(run.slot)

    async def read(self, run: JobRun, task: Task[Any, Any]) -> Invocation | Outcome:
        """Decode the call of the run, fetched first when it is offloaded; an outcome when that fails.

        The fetch is part of the attempt and of its time: whoever pushed the job waits no longer for it than for others.
        """
        payload = run.delivery.payload
        try:
            if is_reference(payload):
                from headway.offload import read_reference, whole  # noqa: PLC0415 - only for large calls

                timeout_ms = read_reference(payload).timeout_ms or task.options_declared.timeout_ms
                with _TimeLimit(run, timeout_ms / 1000, self._watched):
                    payload = await self._on_loop(run, whole(self._app.offload, payload))
        except CodecError as error:
            return Failed(with_error(run.delivery, error_of(run.delivery.attempt, self.now_ms(), error)))
        except BaseException as error:  # noqa: BLE001 - the store's failures, and being stopped while it is asked
            if run.stop is Stop.TIMEOUT and isinstance(error, asyncio.CancelledError):
                where = "its call was not fetched from the offload store within the limit"
                error = JobTimeoutError(f"{where} (timeout of task {task.name!r})")
            return self._judge(run, task, error)
        return self._decoded(run, task, payload)

    def _decoded(
        self, run: JobRun, task: Task[Any, Any], payload: bytes | None = None
    ) -> Invocation | Outcome:
        try:
            return read_invocation(task, run.delivery.payload if payload is None else payload)
        except CodecError as error:
            return Failed(with_error(run.delivery, error_of(run.delivery.attempt, self.now_ms(), error)))

    async def perform(self, run: JobRun, task: Task[Any, Any], invocation: Invocation) -> Outcome:
        """Call the handler within its time and judge how it ended."""
        args = invocation.args
        kwargs = invocation.kwargs
        if task.signature.takes_context:
            args = (self._context(run, invocation.headers), *args)
        try:
            with _TimeLimit(run, invocation.timeout, self._watched):
                if task.is_async:
                    value = await self._on_loop(run, task.fn(*args, **kwargs))
                else:
                    value = await self._threads.run(run, functools.partial(task.fn, *args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is the job's, not the worker's
            return self._judge(run, task, error)
        try:
            result = self._app.codec.encode_result(task.name, value)
        except EnqueueError as error:
            # What the handler does is done; doing it again would not make its result any smaller.
            return Failed(with_error(run.delivery, error_of(run.delivery.attempt, self.now_ms(), error)))
        if len(result) > self._offload_over and (offload := self._app.offload) is not None:
            try:
                result = await offload.keep_result(run.delivery.lease.job_id, result)
            except HeadwayError as error:
                return self._judge_error(run, task, error)
        return Succeeded(result)

    def _refusal(self, run: JobRun) -> Outcome | None:
        """What ends a job before its handler is called."""
        delivery = run.delivery
        if run.stop is not None:
            return self._stopped(run)
        if delivery.cancel_requested:
            return Cancelled("cancelled before it was started")
        if delivery.expires_ms is not None and delivery.expires_ms <= self.now_ms():
            return Expired()
        limit = self._max_crashes
        if delivery.crashes >= limit:
            text = (
                f"its worker died {delivery.crashes} times while it ran, max_crashes is {limit}; "
                "look for memory use, signals and hard time limits, then retry it by hand"
            )
            return Failed(
                with_error(
                    delivery, error_of(delivery.attempt, self.now_ms(), kind="PoisonJob", message=text)
                )
            )
        if delivery.task not in self._tasks:
            text = f"no task {delivery.task!r} is declared in app {self._app.name!r} of this worker"
            return Failed(
                with_error(
                    delivery, error_of(delivery.attempt, self.now_ms(), kind="UnknownTask", message=text)
                )
            )
        return None

    async def end_overdue(self) -> float:
        """Stop runs whose time is over; return the seconds until the next look.

        One look at all of them is cheaper than a timer for each.
        """
        now = time.monotonic()
        for run in [run for run in self._watched if run.deadline <= now]:
            run.interrupt(Stop.TIMEOUT)
        return _LOOK_SECONDS

    async def _on_loop(self, run: JobRun, handler: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
        current = run.task or asyncio.current_task()
        if current is None:  # pragma: no cover - run() is always awaited in a task
            msg = "a job must run in a task"
            raise RuntimeError(msg)
        run.on_interrupt(current.cancel)
        try:
            return await handler
        finally:
            run.on_interrupt(None)
            if run.stop is not None:
                # The cancellation was ours and is answered here; the worker's own task goes on.
                while current.uncancel():
                    pass

    def overdue(self, run: JobRun) -> Outcome:
        """Judge a run that does not end although it was stopped or its time is over: a thread cannot be ended."""
        match run.stop:
            case Stop.CANCEL:
                return Cancelled(f"{run.reason}; it did not end, what it does goes on")
            case Stop.LOST | Stop.DRAIN:
                return Released()
            case Stop.TIMEOUT | None:
                task = self._tasks[run.delivery.task]
                text = f"the attempt did not end at its limit (timeout of task {task.name!r}); what it does goes on"
                return self._judge_error(run, task, JobTimeoutError(text))

    def _judge(self, run: JobRun, task: Task[Any, Any], error: BaseException) -> Outcome:
        """What follows from an exception of the handler, or from having been stopped."""
        delivery = run.delivery
        if run.stop is not None and isinstance(error, asyncio.CancelledError | Interrupted):
            if run.stop is not Stop.TIMEOUT:
                return self._stopped(run)
            error = JobTimeoutError(f"the attempt took longer than its limit (timeout of task {task.name!r})")
        match error:
            case RetryLater():
                return RetryAt(self.now_ms() + duration_ms(error.delay), delivery.history, counted=False)
            case Discard():
                return Cancelled(
                    storable(f"discarded: {error.reason}" if error.reason else "discarded by its handler")
                )
            case _:
                pass
        return self._judge_error(run, task, error)

    def _judge_error(self, run: JobRun, task: Task[Any, Any], error: BaseException) -> Outcome:
        """Ask the retry policy of the task."""
        delivery = run.delivery
        now = self.now_ms()
        history = with_error(delivery, error_of(delivery.attempt, now, error))
        # Crashes are not the handler's own failures: they have a cap of their own.
        attempt = max(1, delivery.attempt - delivery.crashes)
        decision = task.options_declared.retry.decide(_as_exception(error), attempt, _RANDOM)
        match decision:
            case RetryAfter(delay=delay):
                return RetryAt(now + duration_ms(delay), history)
            case GiveUp():
                return Failed(history)

    def _stopped(self, run: JobRun) -> Outcome:
        match run.stop:
            case Stop.CANCEL:
                return Cancelled(run.reason)
            case Stop.LOST | Stop.DRAIN | Stop.TIMEOUT | None:
                # Lost: then the release is superseded, and recorded as that.
                return Released()

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
        )

    def now_ms(self) -> int:
        """Return the app's clock, in milliseconds since 1970 UTC."""
        return self._app.clock.now_ms()


class _TimeLimit:
    """The soft end of a run: a timer for short limits, a place among the watched runs for long ones."""

    __slots__ = ("_run", "_timeout", "_timer", "_watched")

    def __init__(self, run: JobRun, timeout: float, watched: set[JobRun]) -> None:
        self._run = run
        self._timeout = timeout
        self._watched = watched
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._timeout < _PRECISE_BELOW:
            loop = asyncio.get_running_loop()
            left = _left(self._run, self._timeout)
            self._timer = loop.call_later(left, self._run.interrupt, Stop.TIMEOUT)
        else:
            self._run.deadline = self._run.started + self._timeout
            self._watched.add(self._run)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        else:
            self._watched.discard(self._run)


def _left(run: JobRun, timeout: float) -> float:
    """Return the seconds until the end of the run's time."""
    return max(0.0, run.started + timeout - time.monotonic())


def _as_exception(error: BaseException) -> BaseException:
    """Let CancelledError, SystemExit and the like, raised by a handler itself, count as failures like any other."""
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
