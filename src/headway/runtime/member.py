"""One worker process, as its supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from headway.runtime.child import arguments
from headway.runtime.control import (
    Away,
    Claiming,
    DrainAsked,
    Goodbye,
    Hello,
    Judged,
    Lost,
    Stop,
    decode_from_worker,
    line,
)
from headway.runtime.deaths import Cause
from headway.runtime.procstat import is_frozen, resident_mb
from headway.runtime.slots import Slots

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable
    from typing import Self

    from headway.job import JobId, WorkerId
    from headway.runtime.control import CarrierUrl, FromWorker, ToWorker, WorkerOptions
    from headway.runtime.forked import Forked, ForkedProcess
    from headway.runtime.slots import Started


class Member:
    """A worker process: its life, its control line, its table of started jobs."""

    def __init__(
        self, index: int, child: Process | ForkedProcess, slots: Slots, writer: asyncio.StreamWriter
    ) -> None:
        self.index = index
        self.slots = slots
        self.hello: Hello | None = None
        self.claiming = asyncio.Event()  # it claims, or it ended before
        self.born = time.monotonic()
        self.first_memory_mb = 0.0  # when it began to claim: what the app takes before its first job
        self.leaving = False  # it was asked to drain and end
        self.ended = False
        self.ended_for: list[JobId] = []  # jobs past their hard deadline, for which it was killed
        self.known = True  # it could say what it was doing when it was killed for them
        self.judged: set[tuple[WorkerId, int]] = (
            set()
        )  # whose late jobs it has settled, on which of its lanes
        self._killed: Cause | None = None
        self._said_goodbye = False
        self._child = child
        self._writer = writer

    @classmethod
    async def start(cls, index: int, options: WorkerOptions, slots: int) -> tuple[Self, asyncio.StreamReader]:
        """Start the process; the reader has what it says. OSError when the machine has no room for it."""
        table = Slots.create(slots)
        ours, theirs = socket.socketpair()
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "headway.runtime.child",
                *arguments(options, theirs.fileno(), table.descriptor, index),
                pass_fds=[theirs.fileno(), table.descriptor],
                stdin=asyncio.subprocess.DEVNULL,
                process_group=0,  # with what its jobs start, so that all of it can be ended
                env=dict(os.environ),  # uvloop takes nothing but a dict
            )
        except BaseException:
            ours.close()
            table.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(index, child, table, writer), reader

    @classmethod
    async def adopt(cls, index: int, forked: Forked) -> tuple[Self, asyncio.StreamReader]:
        """Take over a process that was forked; the reader has what it says."""
        reader, writer = await asyncio.open_connection(sock=forked.line)
        return cls(index, forked.process, forked.slots, writer), reader

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    @property
    def cause(self) -> Cause:
        """Who ended the process, once it has ended."""
        if self._said_goodbye:
            return Cause.IN_ORDER
        return self._killed or Cause.ITSELF

    async def listen(
        self,
        reader: asyncio.StreamReader,
        greeted: Callable[[Hello], None],
        away: Callable[[int, str], None],
        drain: Callable[[], None],
    ) -> None:
        """Read the worker's messages until its end of the control line is closed.

        `greeted` hears of its hello, `away` of the lanes whose carriers are not available, and why; `drain` that
        somebody asked for it to drain.
        """
        with contextlib.suppress(ConnectionError, msgspec.MsgspecError, ValueError):
            while text := await reader.readline():
                message: FromWorker = decode_from_worker(text)
                match message:
                    case Hello() as hello:
                        self.hello = hello
                        greeted(hello)
                    case Claiming():
                        self.first_memory_mb = self.memory_mb
                        self.claiming.set()
                    case Goodbye():
                        self._said_goodbye = True
                    case Judged(worker=worker, lane=lane):
                        self.judged.add((worker, lane))
                    case Away(lane=lane, why=why):
                        away(lane, why)
                    case DrainAsked():
                        drain()

    def tell(self, message: ToWorker) -> None:
        """Send a message to the worker."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(line(message))

    def leave(self) -> None:
        """Ask the worker to drain and end; one that has not said hello holds nothing, and is ended at once."""
        self.leaving = True
        self.tell(Stop())
        if self.hello is None:
            self.kill(Cause.STOPPED)

    def lost(self, lane: int) -> None:
        """Tell the worker that its lease was lost on the carrier of this lane."""
        self.tell(Lost(lane))

    def lane_of(self, carrier: CarrierUrl) -> int | None:
        """Return the number of the lane on which the worker serves this carrier; None: it does not."""
        served = [] if self.hello is None else self.hello.carriers
        return served.index(carrier) if carrier in served else None

    def ask(self) -> None:
        """Ask the worker's main thread what it is doing; the answer is in the table, unless something holds the GIL."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGURG)

    def kill(self, cause: Cause) -> None:
        """End the process hard, with what its jobs started. A frozen one dies as well. The first cause stands."""
        self._killed = self._killed or cause
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end of the process; return its exit code, negative for a signal."""
        code = await self._child.wait()
        self.ended = True
        self.claiming.set()
        return code

    def sweep(self) -> None:
        """End what is left of the process's group: it belonged to jobs that run elsewhere now."""
        if self.cause is not Cause.IN_ORDER:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def started(self, lane: int | None = None) -> list[Started]:
        """Return the jobs that were started and have not ended, of this lane if given."""
        return [job for job in self.slots.started() if lane is None or job.lane == lane]

    def overdue(self) -> list[JobId]:
        """Return the jobs that are past their hard deadline."""
        now = time.monotonic()
        return [job.job_id for job in self.slots.started() if job.deadline and job.deadline < now]

    def needs_heartbeat(self, lane: int) -> bool:
        """True when it holds jobs and works: a frozen one must lose its lease, an ended one's jobs are taken back."""
        return not self.ended and self.slots.held(lane) > 0 and not is_frozen(self.pid)

    @property
    def memory_mb(self) -> float:
        """Resident memory in MiB."""
        return resident_mb(self.pid)

    def close(self) -> None:
        """Release what belongs to the ended process."""
        self._writer.close()
        self.slots.close()
