"""Handlers that leave something behind, in processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from headway import Headway, Retry

app = Headway("processes")
_SHOW = (
    "from signal import *; print((getsignal(SIGINT), getsignal(SIGTERM)) == (default_int_handler, SIG_DFL))"
)


def _shown_by_fork() -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        found = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
        os.write(write, repr(found == (signal.default_int_handler, signal.SIG_DFL)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    return os.read(read, 100).decode()


@app.task(name="signals", run_in="process")
def signals() -> list[str]:
    """Tell what the children of a handler do at Ctrl-C and SIGTERM."""
    shown = subprocess.run([sys.executable, "-c", _SHOW], check=True, capture_output=True, text=True)
    return [shown.stdout.strip(), _shown_by_fork()]


@app.task(name="dies", run_in="process", retry=Retry.never())
def dies(path: str) -> None:
    """Die, and leave a child that holds whatever the process held open."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    Path(path).write_text(str(child), encoding="ascii")
    os._exit(9)


@app.task(name="hangs", run_in="process", retry=Retry.never(), timeout=5)
async def hangs(path: str) -> None:
    """Outlive its time limit, as does the program that it started."""
    child = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220
    Path(path).write_text(str(child.pid), encoding="ascii")  # noqa: ASYNC240
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


def _returns_twice(path: str) -> int:
    pid = os.fork()
    with Path(path).open("a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    if pid:
        os.waitpid(pid, 0)
    return 7


@app.task(name="forks in process", run_in="process")
def forks_in_process(path: str) -> int:
    return _returns_twice(path)


@app.task(name="forks in thread")
def forks_in_thread(path: str) -> int:
    return _returns_twice(path)


@app.task(name="forks on loop")
async def forks_on_loop(path: str) -> int:
    return _returns_twice(path)


@app.task(name="wrong result")
async def wrong_result() -> int:
    text: object = "text"
    return text  # type: ignore[return-value]


@app.task(name="wrong items")
async def wrong_items() -> list[int]:
    return ["text"]  # type: ignore[list-item]


@app.task(name="right results")
async def right_results(number: int) -> float | None:
    return number or None
