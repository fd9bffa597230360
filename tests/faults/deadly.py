"""Handlers that end, block or leave behind processes: what `docs/explanation/deaths.md` is held to."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway import Context, Retry
from tests.faults.effects import write

if TYPE_CHECKING:
    from collections.abc import Callable

DIE_AT_IMPORT: Final = (
    "FAULTS_DIE_AT_IMPORT"  # a file: the first process that imports the app makes it, and dies
)
SLOW_IMPORT: Final = "FAULTS_SLOW_IMPORT"  # a file that the app's import makes before it sleeps for a minute
RUDE: Final = {
    "exit in a child": b"SystemExit",
    "interrupt in a child": b"KeyboardInterrupt",
    "exit in a callback": b"",
    "cancel all": b"",
    "stop": b"",
}
"""Ways of the handler `rude`, and what stands in the record of its job; nothing: it succeeds."""
WAYS: Final = ("kill", "exit 0", "exit 9", "abort", "raise in C")


async def dies(ctx: Context, way: str, after: float = 0.0) -> None:
    """End the process that runs it."""
    write(ctx, "start")
    await asyncio.sleep(after)
    match way:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit 0":
            os._exit(0)
        case "exit 9":
            os._exit(9)
        case "abort":
            signal.signal(signal.SIGABRT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGABRT)
        case _:
            ctypes.string_at(0)
    await asyncio.sleep(60)


async def rude(ctx: Context, way: str) -> None:
    """Do to the loop what ends an ordinary program."""
    write(ctx, "start")
    loop = asyncio.get_running_loop()
    match way:
        case "exit in a child":
            async with asyncio.TaskGroup() as group:
                group.create_task(_raise(SystemExit(3)))
        case "interrupt in a child":
            await asyncio.gather(_raise(KeyboardInterrupt()), asyncio.sleep(0.1))
        case "exit in a callback":
            loop.call_soon(sys.exit, 3)
        case "cancel all":
            for task in asyncio.all_tasks():
                task.cancel()
        case _:
            loop.stop()
    await asyncio.sleep(0.1)
    write(ctx, "end")


async def _raise(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


def thread_late(ctx: Context) -> None:
    """Sleep in C past the limit: no exception reaches this thread."""
    write(ctx, "start")
    time.sleep(120)


async def blocks_late(ctx: Context) -> None:
    write(ctx, "start")
    time.sleep(120)  # noqa: ASYNC251 - the fault under test


async def holds_gil_late(ctx: Context) -> None:
    """Call C that keeps the GIL, and that no signal cuts short."""
    write(ctx, "start")
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(120)


async def waits(ctx: Context, seconds: float) -> None:
    """As it should be, with a limit below what a neighbour makes it wait."""
    write(ctx, "start")
    await asyncio.sleep(seconds)
    write(ctx, "end")


async def blocks_within(ctx: Context, seconds: float) -> None:
    write(ctx, "start")
    time.sleep(seconds)  # noqa: ASYNC251 - the fault under test
    write(ctx, "end")


def _stop_and_leave(number: int) -> int:
    return number * number


def pools(ctx: Context) -> int:
    """Use a pool of forked processes, and end it the way its own `with` does: by SIGTERM."""
    write(ctx, "start")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        total = sum(pool.map(_stop_and_leave, range(10)))
    write(ctx, "end")
    return total


def terminates(ctx: Context) -> int:
    """Start a program and ask it to end."""
    write(ctx, "start")
    program = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.terminate()
        code = child.wait(20)
    write(ctx, "end")
    return code


async def leaves_child(ctx: Context, path: str) -> None:
    """Start a program, write down its pid, and die the first time."""
    write(ctx, "start")
    if not ctx.crashes:
        program = [sys.executable, "-c", "import time; time.sleep(60)"]
        child = await asyncio.create_subprocess_exec(*program)
        await asyncio.to_thread(Path(path).write_text, str(child.pid), encoding="ascii")
        await asyncio.sleep(60)
    write(ctx, "end")


def declare_deadly(declare: Callable[..., Any]) -> None:
    """Declare all of them; a task of `once` has one attempt."""
    once = Retry.never()
    declare(dies, retry=once)
    declare(rude, retry=once)
    for late in (thread_late, blocks_late, holds_gil_late):
        declare(late, retry=once, timeout=0.4)
    declare(waits, retry=once, timeout=0.4)
    declare(waits, retry=once, name="waits_long")
    for other in (blocks_within, pools, terminates, leaves_child):
        declare(other, retry=once)


def at_import() -> None:
    """Do what the environment asks for, when the app's module is imported."""
    if (path := os.environ.get(DIE_AT_IMPORT)) and not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if path := os.environ.get(SLOW_IMPORT):
        Path(path).touch()
        time.sleep(60)
