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

from headway.runtime.control import Claiming, Hello, Lost, Stop, decode_from_worker, line
from headway.runtime.procstat import is_frozen, resident_mb
from headway.runtime.slots import Slots

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from typing import Self

    from headway.job import JobId
    from headway.runtime.control import FromWorker, ToWorker, WorkerOptions


class Member:
    """A worker process: its life, its control line, its table of started jobs."""

    def __init__(self, index: int, child: Process, slots: Slots, writer: asyncio.StreamWriter) -> None:
        self.index = index
        self.slots = slots
        self.hello: Hello | None = None
        self.introduced = asyncio.Event()  # it said hello, or it ended before
        self.claiming = asyncio.Event()  # it claims, or it ended before
        self.born = time.monotonic()
        self.leaving = False  # it was told to go
        self.ended = False
        self.ended_for: list[JobId] = []  # jobs past their hard deadline, for which it was killed
        self._child = child
        self._writer = writer

    @classmethod
    async def start(cls, index: int, options: WorkerOptions, slots: int) -> tuple[Self, asyncio.StreamReader]:
        """Start the process; the reader has what it says."""
        table = Slots.create(slots)
        ours, theirs = socket.socketpair()
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "headway.runtime.child",
                line(options).decode(),
                str(theirs.fileno()),
                str(table.descriptor),
                str(index),
                pass_fds=[theirs.fileno(), table.descriptor],
                stdin=asyncio.subprocess.DEVNULL,
                env=dict(os.environ),  # uvloop takes nothing but a dict
            )
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(index, child, table, writer), reader

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Take what the worker says until nobody holds the line any more."""
        try:
            with contextlib.suppress(ConnectionError, msgspec.MsgspecError, ValueError):
                while text := await reader.readline():
                    message: FromWorker = decode_from_worker(text)
                    match message:
                        case Hello() as hello:
                            self.hello = hello
                            self.introduced.set()
                        case Claiming():
                            self.claiming.set()
        finally:
            self.introduced.set()

    def tell(self, message: ToWorker) -> None:
        """Say something to the worker."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(line(message))

    def leave(self) -> None:
        """Tell the worker to drain and go."""
        self.leaving = True
        self.tell(Stop())

    def lost(self) -> None:
        """Tell the worker that its lease was lost."""
        self.tell(Lost())

    def kill(self) -> None:
        """End the process hard. A frozen one dies as well."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end of the process; return its exit code, negative for a signal."""
        code = await self._child.wait()
        self.ended = True
        self.claiming.set()
        return code

    def started(self) -> list[JobId]:
        """Return the jobs that were started and have not ended."""
        return [job.job_id for job in self.slots.started()]

    def overdue(self) -> list[JobId]:
        """Return the jobs that are past their hard deadline."""
        now = time.monotonic()
        return [job.job_id for job in self.slots.started() if job.deadline and job.deadline < now]

    @property
    def needs_heartbeat(self) -> bool:
        """True when it holds jobs and works: a frozen one must lose its lease, an ended one's jobs are taken back."""
        return not self.ended and self.slots.held > 0 and not is_frozen(self.pid)

    @property
    def memory_mb(self) -> float:
        """Resident memory in MiB."""
        return resident_mb(self.pid)

    def close(self) -> None:
        """Release what belongs to the ended process."""
        self._writer.close()
        self.slots.close()
