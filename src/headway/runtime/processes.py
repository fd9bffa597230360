"""Handlers in processes of their own (`run_in="process"`), which can be ended hard without harm to other jobs.

A process does one job at a time and is used again. It is started with the app's import path, like a worker, so nothing
is pickled: see `wire.py` for what crosses the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from headway.errors import CodecError, HeadwayError
from headway.runtime.failure import JobTimeoutError, ProcessDiedError
from headway.runtime.run import Stop
from headway.runtime.wire import (
    Done,
    FromProcess,
    Imported,
    Interrupt,
    Logged,
    Perform,
    Progressed,
    Ready,
    frame,
    read_frame,
    read_from_process,
)

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable

    from headway.job import Outcome
    from headway.runtime.outcomes import Outcomes
    from headway.runtime.run import JobRun

_log = logging.getLogger("headway.job")
_LAST_WORDS: Final = 0.5  # seconds for what an ended process had said
START_SECONDS: Final = 60.0
"""For the import of the app in a new process, before the time of the job begins."""
_SUSPECT_IDLE: Final = 5.0  # seconds that a process waits for the next job that must run alone
_POSTPONED: Final = 10.0  # seconds until a job comes back for which a process lacked a resource
_MAX_SUSPECTS: Final = 4  # processes at once for jobs that must run alone: each is as large as the app


class ResourcesUnavailableError(HeadwayError):
    """A process that imported the app could not open its resources."""


class Processes:
    """The processes of one worker; started when needed, kept for the next job."""

    def __init__(self, app_path: str, *, kill_after: float, close_seconds: float = 0.0) -> None:
        """`kill_after`: seconds from a soft stop to the hard end.

        `close_seconds`: what an idle process has to close its resources; 0 where the app has none.
        """
        self._app_path = app_path
        self._kill_after = kill_after
        self._close_seconds = close_seconds
        self._idle: list[_JobProcess] = []
        self._all: set[_JobProcess] = set()
        self._ending: set[_JobProcess] = set()  # asked to end, and not gone yet
        self._idle_for_suspects: list[_JobProcess] = []
        self._suspects = 0

    @property
    def room_for_suspect(self) -> bool:
        """Whether there is room for one more job that is suspected of having ended its worker."""
        return self._suspects < _MAX_SUSPECTS

    async def run(
        self,
        run: JobRun,
        timeout: float,  # noqa: ASYNC109 - kept by the process and its timers
        outcomes: Outcomes,
        *,
        suspect: bool = False,
    ) -> Outcome:
        """Run the job in a process; `outcomes` judges when that died or had to be ended for the time limit."""
        if not suspect:
            return await self._run(run, timeout, outcomes, self._idle)
        self._suspects += 1
        try:
            return await self._run(run, timeout, outcomes, self._idle_for_suspects)
        finally:
            self._suspects -= 1
            asyncio.get_running_loop().call_later(_SUSPECT_IDLE, self._end_idle)

    async def _run(
        self,
        run: JobRun,
        timeout: float,  # noqa: ASYNC109 - as above
        outcomes: Outcomes,
        idle: list[_JobProcess],
    ) -> Outcome:
        process: _JobProcess | None = None
        ended: BaseException = ProcessDiedError("the job's process could not be started")
        outcome: Outcome | None = None
        try:
            # It may take long to start: a job that is stopped meanwhile does not wait for it.
            process = idle.pop() if idle else await run.stoppable(self._start())
            outcome = await process.perform(run, timeout, self._kill_after)
        except ProcessDiedError as error:
            ended = error
        except ResourcesUnavailableError as error:
            _log.warning("job %s: %s, later: %s", run.delivery.lease.job_id, run.delivery.task, error)
            return outcomes.postponed(run.delivery, _POSTPONED)
        except asyncio.CancelledError:
            if run.stop is None or process is not None:
                raise
            return outcomes.of_stop(run)
        finally:
            run.on_interrupt(None)
            if outcome is None and process is not None:
                self._end(process)
        if outcome is not None and process is not None:
            idle.append(process)
            return outcome
        _log.error("job %s: %s: %s", run.delivery.lease.job_id, run.delivery.task, ended)
        if run.stop is Stop.TIMEOUT:
            text = f"the attempt took longer than {timeout:g} s; its process was ended hard"
            ended = JobTimeoutError(text)
        return outcomes.of_error(run, ended)

    def _end_idle(self) -> None:
        """End what waits for suspects: there are none for long."""
        while self._idle_for_suspects:
            self._end(self._idle_for_suspects.pop(), self._close_seconds)

    def _end(self, process: _JobProcess, seconds: float = 0.0) -> None:
        """End a process; one that is idle may have so many seconds to close its resources."""
        self._all.discard(process)
        self._ending.add(process)
        process.on_end(lambda: self._ending.discard(process))
        if seconds:
            process.leave()
            asyncio.get_running_loop().call_later(seconds, process.kill)
        else:
            process.kill()

    async def close(self, seconds: float | None = None) -> None:
        """End all processes. Idle ones close their resources first, in at most so many seconds."""
        if self._close_seconds and (idle := [*self._idle, *self._idle_for_suspects]):
            for process in idle:
                process.leave()
            closing = [asyncio.ensure_future(process.wait()) for process in idle]
            await asyncio.wait(closing, timeout=self._close_seconds if seconds is None else seconds)
        for process in [*self._all, *self._ending]:
            process.kill()
        await asyncio.gather(*(process.wait() for process in [*self._all, *self._ending]))
        self._all.clear()
        self._idle.clear()
        self._idle_for_suspects.clear()

    async def _start(self) -> _JobProcess:
        ours, theirs = socket.socketpair()
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "headway.runtime.jobprocess",
                self._app_path,
                str(theirs.fileno()),
                str(os.getpid()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=dict(os.environ),  # uvloop takes nothing but a dict
                start_new_session=True,  # so that what its handlers start can be ended with it
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        process = _JobProcess(child, reader, writer)
        self._all.add(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await process.ready()
        except BaseException as error:
            self._end(process)
            if not isinstance(error, TimeoutError):
                raise
            if process.imported:
                msg = f"the job's process could not open the app's resources within {START_SECONDS:.0f} s"
                raise ResourcesUnavailableError(msg) from error
            msg = f"the job's process did not import the app within {START_SECONDS:.0f} s"
            raise ProcessDiedError(msg) from error
        return process


class _JobProcess:
    """One process."""

    def __init__(self, child: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer
        self._ended = asyncio.create_task(self._follow())
        self.imported = False  # but its resources may not be open

    async def ready(self) -> None:
        message = await self._read()
        if isinstance(message, Imported):
            self.imported = True
            message = await self._read()
        if not isinstance(message, Ready):
            msg = "the job's process spoke out of turn"
            raise ProcessDiedError(msg)

    async def perform(self, run: JobRun, timeout: float, kill_after: float) -> Outcome:  # noqa: ASYNC109
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []

        def interrupt() -> None:
            if run.stop is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    self._writer.write(frame(Interrupt(run.stop.name, run.reason)))
                timers.append(loop.call_later(kill_after, self.kill))

        self._writer.write(frame(Perform(run.delivery, timeout)))
        run.on_interrupt(interrupt)
        timers.append(loop.call_later(timeout, run.interrupt, Stop.TIMEOUT))
        try:
            while True:
                match await self._read():
                    case Progressed(fraction=fraction, message=message):
                        run.progress(fraction, message)
                    case Logged(level=level, message=message):
                        run.log(level, message)
                    case Done(outcome=outcome):
                        return outcome
                    case Imported() | Ready():
                        pass
        finally:
            for timer in timers:
                timer.cancel()

    async def _read(self) -> FromProcess:
        try:
            body = await read_frame(self._reader)
            if body is not None:
                message: FromProcess = read_from_process.decode(body)
                return message
        except (CodecError, msgspec.MsgspecError) as error:
            self.kill()
            msg = f"the job's process sent something unreadable: {error}"
            raise ProcessDiedError(msg) from error
        code = await self._child.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        msg = f"the job's process ended without an answer ({how})"
        raise ProcessDiedError(msg)

    def on_end(self, ended: Callable[[], object]) -> None:
        """Call this once it is gone."""
        self._ended.add_done_callback(lambda _: ended())

    def leave(self) -> None:
        """Ask it to close its resources and end: no more jobs come."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()

    def kill(self) -> None:
        """End it, and what its handlers have started, unless that has made a session of its own."""
        self._writer.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    async def _follow(self) -> None:
        """See the end of the process also where its children hold its socket; end those."""
        await self._child.wait()
        self.kill()
        if not self._reader.at_eof():
            await asyncio.sleep(_LAST_WORDS)
            self._reader.feed_eof()

    async def wait(self) -> None:
        await asyncio.shield(self._ended)
