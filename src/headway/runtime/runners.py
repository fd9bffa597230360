"""The places of a worker: tasks that take deliveries from a buffer and run them one after the other.

A task serves many jobs, because making one costs as much as a small job. One place at a time takes from the buffer; a
spare one takes over when a job really waits. So jobs that never wait run in one place, which yields to the event loop
after a slice of time, and as many places are open as jobs wait. A place ends when a job left something in its context
variables, so that no job sees those of another.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from headway.runtime.current import RunHolder, current_run
from headway.runtime.run import JobRun, Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.job import Delivery, JobId, Outcome
    from headway.runtime.executor import Executor
    from headway.runtime.run import Reports

_log = logging.getLogger("headway.worker")
_SLICE: Final = 0.002  # seconds of jobs that never wait, before the loop gets a turn for everything else


class Source(Protocol):
    """Where a delivery came from: its reports and its outcome go there."""

    number: int
    reporter: Reports
    runs: dict[JobId, JobRun]
    """The runs of its jobs; by source, because two may deliver the same job."""

    def run_ended(self, run: JobRun, outcome: Outcome, /) -> None:
        """Take the outcome of a run, once its reports are recorded."""
        ...


class Runners:
    """Runs deliveries, at most `count` at once."""

    def __init__(self, executor: Executor, count: int, sources: Sequence[Source]) -> None:
        """`sources` are all from which deliveries may come, by their numbers; they may be added later."""
        self._executor = executor
        self._count = count
        self._sources = sources
        self._buffer: deque[tuple[Delivery, Source, float]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stuck = 0  # places whose job was given up and goes on
        self._spare = False  # a place has been opened that did not begin yet
        self._paused = False  # a place yields to the loop and will go on with the buffer
        executor.on_give_up(self._give_up)

    def add(self, delivery: Delivery, source: Source) -> None:
        """Run the delivery as soon as there is a place."""
        self._buffer.append((delivery, source, time.monotonic()))
        self._open_place()

    @property
    def running(self) -> list[JobRun]:
        """The runs under way."""
        return [run for source in self._sources for run in source.runs.values()]

    def waiting_since(self) -> float | None:
        """Return the time.monotonic() since which the first delivery waits for a place; None when none waits."""
        return self._buffer[0][2] if self._buffer else None

    def take_waiting(self, source: Source) -> list[Delivery]:
        """Take out all deliveries of a source that wait for a place."""
        waiting = [delivery for delivery, its, _ in self._buffer if its is source]
        if len(waiting) == len(self._buffer):
            self._buffer.clear()
        else:
            others = [item for item in self._buffer if item[1] is not source]
            self._buffer.clear()
            self._buffer.extend(others)
        return waiting

    def cancel(self, job_id: JobId, source: Source) -> Delivery | None:
        """Stop the source's run of this job softly; a delivery that still waits is taken out and returned."""
        run = source.runs.get(job_id)
        if run is not None:
            run.interrupt(Stop.CANCEL)
            return None
        for item in self._buffer:
            if item[1] is source and item[0].lease.job_id == job_id:
                self._buffer.remove(item)
                return item[0]
        return None

    async def wait(self, seconds: float) -> None:
        """Wait until all runs have ended or were given up, at most so long."""
        deadline = time.monotonic() + seconds
        while len(self._tasks) > self._stuck and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left, return_when=asyncio.FIRST_COMPLETED)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not issubclass(type(error), GeneratorExit):
            _log.critical("a place of this worker failed", exc_info=error)
        if self._buffer:
            self._open_place()

    def _open_place(self) -> None:
        if not (self._spare or self._paused) and len(self._tasks) - self._stuck < self._count:
            self._spare = True
            task = asyncio.create_task(self._serve())
            self._tasks.add(task)
            task.add_done_callback(self._task_ended)

    async def _serve(self) -> None:
        self._spare = False
        holder = current_run.enter()
        clean = contextvars.copy_context()
        task = asyncio.current_task()
        pause_at = time.monotonic() + _SLICE
        while self._buffer and not self._paused:
            delivery, source, _ = self._buffer.popleft()
            if self._buffer and not self._spare:
                self._open_place()
            await self._run(JobRun(delivery, source.reporter, task, source.number), source, holder)
            try:
                if contextvars.copy_context() != clean:
                    return
            except BaseException:  # noqa: BLE001 - values that cannot be compared: left by the job
                return
            if time.monotonic() > pause_at and not self._paused:
                self._paused = True
                try:
                    await asyncio.sleep(0)
                finally:
                    self._paused = False
                pause_at = time.monotonic() + _SLICE

    async def _run(self, run: JobRun, source: Source, holder: RunHolder) -> None:
        job_id = run.delivery.lease.job_id
        runs = source.runs
        runs[job_id] = run
        holder.run = run
        try:
            outcome = await self._executor.run(run)
        except GeneratorExit as error:
            # Raised by what the handler awaited; it closes this coroutine and all that await it.
            outcome = self._executor.outcomes.of_error(run, error)
        finally:
            holder.run = None
            if runs.get(job_id) is run:
                del runs[job_id]
        if run.given_up:
            self._stuck -= 1
        else:
            source.run_ended(run, outcome)

    def _give_up(self, run: JobRun, outcome: Outcome) -> None:
        """End a run that does not stop: it keeps its place, and another place may be opened instead."""
        self._stuck += 1
        source = self._sources[run.lane]
        if source.runs.get(run.delivery.lease.job_id) is run:
            del source.runs[run.delivery.lease.job_id]
        source.run_ended(run, outcome)
        if self._buffer:
            self._open_place()
