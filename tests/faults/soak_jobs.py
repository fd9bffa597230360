"""The handlers of the soak. A job's first argument is its tag; the others are its plan, which the handler follows.

Each writes a line when it starts, when it is done, and before it raises or dies on purpose: so the check at the end can tell
a run that was cut off from one that ended itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway import Context, Discard, Retry, RetryLater
from tests.faults import effects

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway import Headway

QUICKLY: Final = Retry(max_attempts=10, initial=0.05, factor=1.0, jitter=0.0)
PAUSE: Final = 2.0  # seconds that soak_patient waits for its second attempt
SIDE: Final = "side"  # a queue that acts pause
NOBODY: Final = "nobody"  # a queue that no worker serves


class HostileText(Exception):  # noqa: N818 - not an error of ours
    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


class HostileNotes(Exception):  # noqa: N818 - as above
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]  # that is its malice
        raise ZeroDivisionError


ERRORS: Final[dict[str, Callable[[], BaseException]]] = {
    "ValueError": lambda: ValueError("planned"),
    "KeyError": lambda: KeyError("planned"),
    "StopIteration": lambda: StopIteration("planned"),
    "StopAsyncIteration": lambda: StopAsyncIteration("planned"),
    "MemoryError": lambda: MemoryError("planned"),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "planned"),
    "CancelledError": lambda: asyncio.CancelledError("planned"),
    "HostileText": HostileText,
    "HostileNotes": HostileNotes,
    "GeneratorExit": lambda: GeneratorExit("planned"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("planned"),
    "BaseException": lambda: BaseException("planned"),
}


def made(error: str) -> BaseException:
    """Make the planned exception of this name."""
    return ERRORS[error]()


def _write(ctx: Context, what: str, tag: str) -> None:
    # A job in a process of its own does not know its lease; its parent is the worker.
    delivery = getattr(ctx._channel, "delivery", None)
    effects.write(
        ctx,
        what,
        tag=tag,
        epoch=None if delivery is None else delivery.lease.epoch,
        worker=os.getpid() if delivery is not None else os.getppid(),
    )


def _end(ctx: Context, tag: str) -> dict[str, Any]:
    """Write that it is done, and return what the record must have as the result."""
    _write(ctx, "end", tag)
    delivery = getattr(ctx._channel, "delivery", None)
    return {"tag": tag, "epoch": None if delivery is None else delivery.lease.epoch}


def _times(tag: str, what: str) -> int:
    """Count, over all processes, and return the count."""
    folder = Path(f"{os.environ[effects.EFFECTS]}.times")
    folder.mkdir(exist_ok=True)
    with (folder / f"{tag}.{what}").open("ab", buffering=0) as file:
        file.write(b".")
        return file.tell()


async def soak_succeed(ctx: Context, tag: str, seconds: float = 0.0) -> dict[str, Any]:
    _write(ctx, "start", tag)
    if seconds:
        await asyncio.sleep(seconds)
    return _end(ctx, tag)


def soak_succeed_in_thread(ctx: Context, tag: str, seconds: float = 0.0) -> dict[str, Any]:
    _write(ctx, "start", tag)
    time.sleep(seconds)
    return _end(ctx, tag)


async def soak_headers(ctx: Context, tag: str) -> dict[str, Any]:
    """Find in its headers what was sent with it."""
    _write(ctx, "start", tag)
    assert ctx.headers == {"tag": tag}
    return _end(ctx, tag)


async def soak_report(ctx: Context, tag: str) -> dict[str, Any]:
    _write(ctx, "start", tag)
    ctx.log("half way")
    await ctx.progress(0.5, "half way")
    return _end(ctx, tag)


async def soak_retry(ctx: Context, tag: str, failures: int) -> dict[str, Any]:
    """Fail so many times, then succeed."""
    _write(ctx, "start", tag)
    if ctx.attempt - ctx.crashes <= failures:
        _write(ctx, "raised", tag)
        msg = f"planned failure {ctx.attempt}"
        raise RuntimeError(msg)
    return _end(ctx, tag)


async def soak_later(ctx: Context, tag: str, times: int) -> dict[str, Any]:
    """Ask so many times to be run later: no attempt is used up."""
    _write(ctx, "start", tag)
    if _times(tag, "later") <= times:
        _write(ctx, "raised", tag)
        raise RetryLater(0.05)
    return _end(ctx, tag)


async def soak_discard(ctx: Context, tag: str) -> None:
    _write(ctx, "start", tag)
    _write(ctx, "raised", tag)
    raise Discard(tag)


async def soak_dead(ctx: Context, tag: str, error: str) -> None:
    _write(ctx, "start", tag)
    _write(ctx, "raised", tag)
    raise made(error)


async def soak_dead_child(ctx: Context, tag: str, error: str) -> None:
    """Raise in a child task; what is no Exception leaves the loop, and ends the process."""

    async def child() -> None:
        _write(ctx, "dies" if error in {"SystemExit", "KeyboardInterrupt"} else "raised", tag)
        raise made(error)

    _write(ctx, "start", tag)
    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        await asyncio.sleep(60)


def soak_dead_in_thread(ctx: Context, tag: str, error: str) -> None:
    _write(ctx, "start", tag)
    _write(ctx, "raised", tag)
    raise made(error)


async def soak_twice(ctx: Context, tag: str) -> None:
    """Fail whatever happens, with two attempts."""
    _write(ctx, "start", tag)
    _write(ctx, "raised", tag)
    raise LookupError(tag)


async def soak_revive(ctx: Context, tag: str) -> dict[str, Any]:
    """Fail in the first life, succeed once somebody has given it another."""
    _write(ctx, "start", tag)
    if _times(tag, "life") == 1:
        _write(ctx, "raised", tag)
        msg = "planned: to be retried by hand"
        raise ValueError(msg)
    return _end(ctx, tag)


async def soak_hang(ctx: Context, tag: str) -> None:
    """Wait for ever: to be cancelled, or ended by its time limit."""
    _write(ctx, "start", tag)
    try:
        await asyncio.sleep(600)
    finally:
        _write(ctx, "raised", tag)


def soak_overdue(ctx: Context, tag: str) -> None:
    """Take no notice of the time limit: only the hard end of the worker's process ends it."""
    _write(ctx, "start", tag)
    ctypes.CDLL(None).sleep(600)


def soak_crash(ctx: Context, tag: str, times: int, how: str) -> dict[str, Any]:
    """End the process that runs it so many times, then succeed."""
    _write(ctx, "start", tag)
    if _times(tag, "crash") <= times:
        _write(ctx, "dies", tag)
        if how.startswith("exit "):
            os._exit(int(how[5:]))
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(60)
    return _end(ctx, tag)


def soak_worn(ctx: Context, tag: str) -> dict[str, Any]:
    """With two attempts: die, fail, succeed. A death is no attempt of the policy's."""
    _write(ctx, "start", tag)
    match _times(tag, "worn"):
        case 1:
            _write(ctx, "dies", tag)
            os._exit(9)
        case 2:
            _write(ctx, "raised", tag)
            msg = "planned: worn out"
            raise RuntimeError(msg)
        case _:
            pass
    return _end(ctx, tag)


async def soak_block(ctx: Context, tag: str, seconds: float) -> dict[str, Any]:
    _write(ctx, "start", tag)
    time.sleep(seconds)  # noqa: ASYNC251 - the fault under test
    return _end(ctx, tag)


async def soak_hold_gil(ctx: Context, tag: str, seconds: float) -> dict[str, Any]:
    _write(ctx, "start", tag)
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    return _end(ctx, tag)


def soak_fork(ctx: Context, tag: str) -> dict[str, Any]:
    """Return in both processes."""
    _write(ctx, "start", tag)
    if os.fork() == 0:
        return {"tag": "of the fork"}
    return _end(ctx, tag)


def _double(number: int) -> int:
    return 2 * number


def soak_pool(ctx: Context, tag: str) -> dict[str, Any]:
    """Use processes as programs do: a pool of them, and one that is asked to end."""
    _write(ctx, "start", tag)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_double, [1, 2]) == [2, 4]
    child = subprocess.Popen(["sleep", "60"])
    child.terminate()
    assert child.wait(20) == -signal.SIGTERM
    return _end(ctx, tag)


def soak_in_process(ctx: Context, tag: str, seconds: float = 0.0) -> dict[str, Any]:
    _write(ctx, "start", tag)
    time.sleep(seconds)
    return _end(ctx, tag)


def soak_dead_process(ctx: Context, tag: str, how: str) -> None:
    """End its own process: nobody else's."""
    _write(ctx, "start", tag)
    _write(ctx, "raised", tag)
    with contextlib.suppress(ValueError):
        os._exit(int(how))
    os.kill(os.getpid(), getattr(signal, how))
    time.sleep(60)


def declare_soak(app: Headway) -> Headway:
    """Declare them all, and return the app."""
    once = Retry.never()

    def declare(function: Callable[..., Any], retry: Retry = QUICKLY, **options: Any) -> None:
        app.task(name=options.pop("name", function.__name__), retry=retry, **options)(function)

    harmless: tuple[Callable[..., Any], ...] = (
        soak_succeed,
        soak_succeed_in_thread,
        soak_headers,
        soak_report,
        soak_retry,
        soak_later,
        soak_discard,
        soak_crash,
        soak_block,
        soak_hold_gil,
        soak_fork,
        soak_pool,
    )
    for function in harmless:
        declare(function)
    failing: tuple[Callable[..., Any], ...] = (soak_dead, soak_dead_child, soak_dead_in_thread, soak_revive)
    for function in failing:
        declare(function, once)
    declare(soak_twice, Retry(max_attempts=2, initial=0.05, jitter=0.0))
    declare(soak_retry, Retry.after(PAUSE), name="soak_patient")
    declare(soak_worn, Retry(max_attempts=2, initial=0.05, jitter=0.0))
    declare(soak_hang, once)
    declare(soak_hang, once, name="soak_overtime", timeout=0.4)
    declare(soak_overdue, once, timeout=0.4)
    declare(soak_in_process, run_in="process")
    declare(soak_dead_process, once, run_in="process")
    declare(soak_succeed, name="soak_side", queue=SIDE)
    declare(soak_succeed, name="soak_nobody", queue=NOBODY)
    return app
