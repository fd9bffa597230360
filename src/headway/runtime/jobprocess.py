"""The process of a job with `run_in="process"`: `python -m headway.runtime.jobprocess APP SOCKET PARENT`.

See `processes.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import structs

from headway.errors import DeclarationError
from headway.runtime.current import current_run
from headway.runtime.deathsignal import die_with_parent
from headway.runtime.dispositions import leave_signals_to_parent
from headway.runtime.executor import Executor
from headway.runtime.invocation import Invocation
from headway.runtime.loading import load_app
from headway.runtime.logs import adopt_logging, configure_logging
from headway.runtime.mainloop import run_main
from headway.runtime.resources import Lifespan
from headway.runtime.run import JobRun, Stop
from headway.runtime.stderr import write_stderr
from headway.runtime.threads import Threads
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
    read_to_process,
)
from headway.text import MAX_LINE, storable

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.job import Lease, Outcome

EXIT_CONFIG: Final = 2  # a resource is written wrongly


class _Line:
    """The socket to the worker; also the reporter of the job that runs."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = threading.Lock()

    def send(self, message: FromProcess) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._line.sendall(frame(message))

    def progress(self, _lease: Lease, fraction: float, message: str) -> None:
        self.send(Progressed(fraction, storable(message)))

    def log(self, _lease: Lease, level: str, message: str) -> None:
        self.send(Logged(storable(level), storable(message, MAX_LINE)))

    async def flush(self, _lease: Lease) -> None:
        """Do nothing: what was sent is in the socket, in order before the outcome."""

    def busy(self, _lease: Lease) -> bool:
        return False


async def _serve(app: Headway, ours: socket.socket) -> None:
    line = _Line(ours.dup())
    reader, _writer = await asyncio.open_connection(sock=ours)
    lifespan = Lifespan(app, f"job process {os.getpid()}")
    executor = Executor(app, threads=Threads(1), resources=lifespan.resources)
    run: JobRun | None = None
    job: asyncio.Task[None] | None = None
    opening = asyncio.create_task(_open(lifespan, line))
    while (body := await read_frame(reader)) is not None:
        match read_to_process.decode(body):
            case Perform(delivery=delivery, timeout=timeout):
                run = JobRun(delivery, line)
                job = asyncio.create_task(_perform(executor, app, run, timeout, line))
            case Interrupt(stop=stop, reason=reason):
                if run is not None and job is not None and not job.done():
                    run.interrupt(Stop[stop], reason)
            case _ as never:
                assert_never(never)
    if job is None or job.done():
        opening.cancel()
        await lifespan.close()
        logging.shutdown()
    # Else the worker is gone; whatever still runs here is someone else's soon.
    os._exit(0)


async def _open(lifespan: Lifespan, line: _Line) -> None:
    """Open the resources, and say when jobs may come. What is written wrongly ends the process, as in a worker."""
    if not lifespan.is_open:
        line.send(Imported())
    try:
        if await lifespan.open():
            line.send(Ready())
    except DeclarationError as error:
        write_stderr(f"headway: {error}\n")
        os._exit(EXIT_CONFIG)


async def _perform(executor: Executor, app: Headway, run: JobRun, timeout: float, line: _Line) -> None:  # noqa: ASYNC109
    current_run.enter(run)
    try:
        outcome = await _outcome(executor, app, run, timeout)
    except BaseException as error:  # noqa: BLE001 - a fault of ours: the worker must hear of an outcome all the same
        outcome = executor.outcomes.of_error(run, error)
    line.send(Done(outcome))


async def _outcome(executor: Executor, app: Headway, run: JobRun, timeout: float) -> Outcome:  # noqa: ASYNC109
    try:
        task = app.find_task(run.delivery.task)
    except LookupError as error:
        return executor.outcomes.failed(run.delivery, error)
    read = await executor.read(run, task)
    if not isinstance(read, Invocation):
        return read
    # The worker keeps the time; this limit is only for a worker that does not.
    return await executor.perform(run, task, structs.replace(read, timeout=timeout * 2))


def main() -> None:
    """Run until the worker closes the socket."""
    leave_signals_to_parent()
    die_with_parent(int(sys.argv[3]))
    configure_logging()
    app = load_app(sys.argv[1])
    app.portal.serve_all()  # few handlers enqueue: no process has a connection before one does
    adopt_logging()
    run_main(_serve(app, socket.socket(fileno=int(sys.argv[2]))))


if __name__ == "__main__":
    main()
