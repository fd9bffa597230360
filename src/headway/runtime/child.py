"""The process of one worker: `python -m headway.runtime.child OPTIONS CONTROL SLOTS INDEX`.

Its supervisor starts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, assert_never

from headway.app.opening import broker_settings
from headway.app.roster import note_carriers
from headway.errors import ConfigError, DeclarationError, HeadwayError
from headway.runtime.carriers import chosen
from headway.runtime.control import (
    Away,
    CarrierUrl,
    Claiming,
    DrainAsked,
    Goodbye,
    Hello,
    Judge,
    Judged,
    Lost,
    Stop,
    decode_options,
    decode_to_worker,
    line,
)
from headway.runtime.current import current_run
from headway.runtime.dispositions import leave_signals_to_parent
from headway.runtime.loading import load_app
from headway.runtime.logs import adopt_logging, configure_logging
from headway.runtime.mainloop import run_main
from headway.runtime.processes import Processes
from headway.runtime.resources import CLOSE_SECONDS
from headway.runtime.slots import Slots
from headway.runtime.stderr import write_stderr
from headway.runtime.worker import Worker, new_worker_id

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.runtime.control import FromWorker, WorkerOptions

_log = logging.getLogger("headway.worker")
EXIT_CONFIG: Final = 2  # the app cannot be loaded: starting it again will not help
EXIT_FAILURE: Final = 1
_ORPHAN_SECONDS: Final = (
    5.0  # without a supervisor nobody keeps the lease: less than the shortest sensible one
)


def arguments(options: WorkerOptions, control: int, slots: int, index: int) -> list[str]:
    """Return what the program is started with; `control` and `slots` are descriptors."""
    return [line(options).decode(), str(control), str(slots), str(index)]


def main() -> None:
    """Run one worker."""
    options = decode_options(sys.argv[1])
    control = socket.socket(fileno=int(sys.argv[2]))
    slots = Slots.attach(int(sys.argv[3]))
    index = int(sys.argv[4])
    leave_signals_to_parent(lambda: _answer(slots))
    configure_logging()
    try:
        app = load_app(options.app)
    except ConfigError as error:
        _end(EXIT_CONFIG, str(error))
    except BaseException:  # noqa: BLE001 - whatever the user's module raises at import
        traceback.print_exc()
        _end(EXIT_CONFIG, f"app {options.app!r} cannot be imported")
    adopt_logging()
    if not app.tasks:
        _end(
            EXIT_CONFIG,
            f"app {options.app!r} declares no task; name the modules of its tasks in the setting include",
        )
    # What was imported stays: no need to look through it for garbage again and again.
    gc.collect()
    gc.freeze()
    try:
        run_main(_serve(app, options, control, slots, index))
    except HeadwayError as error:
        _end(EXIT_CONFIG if isinstance(error, ConfigError | DeclarationError) else EXIT_FAILURE, str(error))
    except BaseException:  # noqa: BLE001 - the last stop
        with contextlib.suppress(Exception):
            traceback.print_exc()
        _end(EXIT_FAILURE)
    _end(0)


def _end(code: int, message: str = "") -> NoReturn:
    """End the process now, whatever still runs in it.

    Not by returning or sys.exit: a handler's thread would keep the process, and the loop would be torn down, which
    cancels every handler as if somebody had asked for it. The supervisor hands the jobs back. A log that nobody takes
    delays nothing.
    """
    if message:
        write_stderr(f"headway: {message}\n")
    with contextlib.suppress(Exception):
        logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def _answer(slots: Slots) -> None:
    run = current_run.get()
    slots.answer(-1 if run is None else run.slot)


async def _serve(
    app: Headway, options: WorkerOptions, control: socket.socket, slots: Slots, index: int
) -> None:
    reader, writer = await asyncio.open_connection(sock=control)
    settings = app.settings
    worker_id = new_worker_id()
    served = chosen(app.pulls, options.carriers, pull=True)
    writer.write(
        line(
            Hello(
                worker=worker_id,
                carriers=[CarrierUrl(name, settings.carrier_urls.get(name, settings.url)) for name in served],
                broker=broker_settings(app.name, settings),
                lease_ms=round((options.lease or settings.lease) * 1000),
                grace=settings.grace if options.grace is None else options.grace,
                max_jobs=settings.max_jobs,
                max_memory_mb=settings.max_memory_mb,
                processes=settings.processes,
                files=_source_files(),
            )
        )
    )
    await writer.drain()
    async with app:
        processes = Processes(
            options.app,
            kill_after=settings.kill_after,
            close_seconds=CLOSE_SECONDS if app.resources else 0.0,
        )
        worker = Worker(
            app,
            queues=options.queues,
            carriers=served,
            concurrency=options.concurrency,
            lease=options.lease,
            grace=options.grace,
            worker_id=worker_id,
            slots=slots,
            processes=processes,
            supervised=True,
            schedules=index == 0,
            on_outage=lambda lane, why: writer.write(line(Away(why, lane))),  # the supervisor says it for all
            on_drain=lambda: writer.write(line(DrainAsked())),  # it starts another one first
        )
        # Beside the work: a control store that is down must not keep jobs waiting.
        noted = asyncio.create_task(note_carriers(app)) if index == 0 else None
        obey = asyncio.create_task(_obey(worker, reader, writer))
        tell = asyncio.create_task(_tell_when_ready(worker, writer))
        try:
            await worker.run()
            await _tell(writer, Goodbye())
        finally:
            obey.cancel()
            tell.cancel()
            if noted is not None:
                noted.cancel()
            await processes.close()


async def _obey(worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    judging: set[asyncio.Task[None]] = set()
    while text := await reader.readline():
        match decode_to_worker(text):
            case Stop():
                worker.stop()
            case Lost(lane=lane):
                worker.lease_lost(lane)
            case Judge() as request:
                task = asyncio.create_task(_judge(worker, request, writer))
                judging.add(task)
                task.add_done_callback(judging.discard)
            case _ as never:
                assert_never(never)
    _log.warning("worker %s: its supervisor is gone; it stops", worker.id)
    timer = threading.Timer(_ORPHAN_SECONDS, os._exit, (EXIT_FAILURE,))
    timer.daemon = True
    timer.start()
    worker.stop()


async def _tell_when_ready(worker: Worker, writer: asyncio.StreamWriter) -> None:
    await worker.ready.wait()
    await _tell(writer, Claiming())


async def _judge(worker: Worker, request: Judge, writer: asyncio.StreamWriter) -> None:
    await worker.time_out(request.leases, request.lane)
    await _tell(writer, Judged(request.worker, request.lane))


async def _tell(writer: asyncio.StreamWriter, message: FromWorker) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(line(message))
        await writer.drain()


def _source_files() -> list[str]:
    """Return the source files of the loaded modules below the working directory: what `headway dev` watches."""
    root = Path.cwd()
    files: set[str] = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and root in Path(file).parents and "site-packages" not in file:
            files.add(file)
    return sorted(files)


if __name__ == "__main__":
    main()
