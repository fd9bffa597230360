"""The app under test: handlers that behave and handlers that do not, each of which writes down what it did.

The effects file is a ledger of its own, apart from the carrier's: one line for each start and each completion, appended
in one write, so that lines of many processes do not mix.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from headway import Context, Headway, Retry
from tests.faults.deadly import declare_deadly
from tests.faults.effects import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMESPACE: Final = "FAULTS_NAMESPACE"
QUEUES: Final = "FAULTS_QUEUES"  # so many further queues, with one task each
EVENTS: Final = "FAULTS_EVENTS"  # on: events are recorded; off: as by default


async def quick(ctx: Context) -> None:
    write(ctx, "start")
    write(ctx, "end")


async def slow(ctx: Context, seconds: float) -> None:
    write(ctx, "start")
    await asyncio.sleep(seconds)
    write(ctx, "end")


async def hang_once(ctx: Context, seconds: float = 300.0) -> None:
    """Wait for long unless its worker has died of it before: what is running when the worker is killed."""
    write(ctx, "start")
    if not ctx.crashes:
        await asyncio.sleep(seconds)
    write(ctx, "end")


async def told_when_lost(ctx: Context) -> None:
    """As `hang_once`; whoever cancels it is written down."""
    try:
        await hang_once(ctx)
    except asyncio.CancelledError:
        write(ctx, "cancelled")
        raise


async def gate(ctx: Context, path: str) -> None:
    """Run until the file exists: the test opens the gate."""
    write(ctx, "start")
    while not await asyncio.to_thread(os.path.exists, path):  # noqa: ASYNC110 - between processes
        await asyncio.sleep(0.02)
    write(ctx, "end")


async def block(ctx: Context, seconds: float) -> None:
    """Do what one must not: block the event loop."""
    write(ctx, "start")
    time.sleep(seconds)  # noqa: ASYNC251 - the fault under test
    write(ctx, "end")


async def hold_gil(ctx: Context, seconds: float) -> None:
    """Call C that keeps the GIL: no thread of this process runs meanwhile."""
    write(ctx, "start")
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    write(ctx, "end")


def in_thread(ctx: Context, seconds: float) -> None:
    write(ctx, "start")
    time.sleep(seconds)
    write(ctx, "end")


async def flaky(ctx: Context, failures: int) -> None:
    """Fail so many times, then succeed."""
    write(ctx, "start")
    if ctx.attempt - ctx.crashes <= failures:
        msg = f"failure {ctx.attempt}"
        raise RuntimeError(msg)
    write(ctx, "end")


async def poison(ctx: Context) -> None:
    """Kill the process that runs it."""
    write(ctx, "start")
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(60)


async def fork_once(ctx: Context) -> None:
    """Fork a process that outlives its worker, and holds whatever that held open; then wait as `hang_once`."""
    if not ctx.crashes and os.fork() == 0:
        os.setsid()  # on purpose: what stays in its worker's process group is ended with that
        write(ctx, "forked")
        time.sleep(60)  # noqa: ASYNC251 - another process; the test ends it
        os._exit(0)
    await hang_once(ctx)


def in_process(ctx: Context, seconds: float) -> None:
    """Run in a process of its own, long the first time only."""
    write(ctx, "start")
    if ctx.attempt == 1:
        time.sleep(seconds)
    write(ctx, "end")


def stubborn_in_process(ctx: Context) -> None:
    """Ignore the soft end of the first attempt: only SIGKILL ends it."""
    write(ctx, "start")
    if ctx.attempt == 1:
        ctypes.PyDLL(None).sleep(60)
    write(ctx, "end")


def build(name: str, *, queues: int = 0, **settings: Any) -> Headway:
    """Make the app; the test's own copy enqueues and inspects, the workers' copies run."""
    settings.setdefault("record_events", True)
    made = Headway(name, **settings)
    soon = Retry(max_attempts=10, initial=0.05, factor=1.0, jitter=0.0)

    def declare(function: Callable[..., Any], **options: Any) -> None:
        made.task(**{"name": function.__name__, "retry": soon, **options})(function)

    for function in (
        quick,
        slow,
        hang_once,
        told_when_lost,
        fork_once,
        gate,
        block,
        hold_gil,
        in_thread,
        flaky,
        poison,
    ):
        declare(function)
    declare(in_process, run_in="process")
    declare(stubborn_in_process, run_in="process", timeout=0.5)
    declare(block, name="overdue", timeout=0.5, retry=Retry(max_attempts=2, initial=0.05, jitter=0.0))
    declare_deadly(declare)
    for number in range(queues):
        declare(quick, name=f"quick{number}", queue=f"queue{number}")
    return made


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the effects ledger; a line that is being written is left for the next look."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.split(b"\n")[:-1]]
