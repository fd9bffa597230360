"""Handlers in threads: an interruption hits its own job, and never the next one in the same thread."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from headway.job import Delivery, JobId, Lease, WorkerId
from headway.runtime.run import JobRun, Stop
from headway.runtime.threads import Interrupted, Threads

if TYPE_CHECKING:
    from collections.abc import Iterator


class NoReports:
    def progress(self, *_: Any) -> None: ...
    def log(self, *_: Any) -> None: ...
    async def flush(self, _lease: Lease) -> None: ...
    def busy(self, _lease: Lease) -> bool:
        return False


def new_run() -> JobRun:
    return JobRun(Delivery(Lease(JobId("0" * 20), WorkerId("w"), 1), "t", "q", b"", 5, 1, 0), NoReports())


@pytest.fixture
def one_thread() -> Iterator[Threads]:
    threads = Threads(1)
    yield threads
    threads.close()


def spin(seconds: float) -> None:
    """Keep the thread in Python code, where an interruption can hit it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


async def test_results_errors_and_context_variables_come_through(one_thread: Threads) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    assert await one_thread.run(new_run(), variable.get) == ("set", None)
    assert isinstance((await one_thread.run(new_run(), lambda: dict[str, int]()["x"])).error, KeyError)


async def test_a_running_job_is_interrupted(one_thread: Threads) -> None:
    run, started, loop = new_run(), asyncio.Event(), asyncio.get_running_loop()

    def handler() -> None:
        loop.call_soon_threadsafe(started.set)
        spin(30)

    running = asyncio.ensure_future(one_thread.run(run, handler))
    await asyncio.wait_for(started.wait(), 10)
    run.interrupt(Stop.CANCEL)
    assert isinstance((await asyncio.wait_for(running, 10)).error, Interrupted)


async def test_a_job_that_was_stopped_before_its_thread_was_free_does_not_run(one_thread: Threads) -> None:
    gate, ran = threading.Event(), []
    blocking = asyncio.ensure_future(one_thread.run(new_run(), lambda: gate.wait(30)))
    run = new_run()
    waiting = asyncio.ensure_future(one_thread.run(run, lambda: ran.append(1)))
    await asyncio.sleep(0)
    run.interrupt(Stop.DRAIN)
    gate.set()
    assert (await blocking).value
    assert isinstance((await waiting).error, Interrupted)
    assert ran == []


async def test_a_handler_may_clean_up_when_it_is_interrupted(one_thread: Threads) -> None:
    run, started, loop, cleaned = new_run(), asyncio.Event(), asyncio.get_running_loop(), []

    def handler() -> None:
        try:
            loop.call_soon_threadsafe(started.set)
            spin(30)
        finally:
            cleaned.append(1)

    running = asyncio.ensure_future(one_thread.run(run, handler))
    await asyncio.wait_for(started.wait(), 10)
    run.interrupt(Stop.LOST)
    assert isinstance((await asyncio.wait_for(running, 10)).error, Interrupted)
    assert cleaned == [1]


async def test_waiting_for_a_thread_can_be_given_up_while_it_goes_on(one_thread: Threads) -> None:
    gate, done = threading.Event(), threading.Event()

    def handler() -> None:
        gate.wait(30)
        done.set()

    running = asyncio.ensure_future(one_thread.run(new_run(), handler))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.set()
    assert await asyncio.to_thread(done.wait, 10)


@pytest.fixture
def restless() -> Iterator[None]:
    """Let the interpreter switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
async def test_an_interruption_never_hits_the_next_job(one_thread: Threads) -> None:
    """Interrupt from another thread at every moment around the end of a job; the next ones in line must not notice."""
    for length in [0, 1, 10, 100, 300, 1000, 3000, 10_000] * 50:
        run = new_run()
        go = threading.Event()

        def interrupter(run: JobRun = run, go: threading.Event = go) -> None:
            go.wait(10)
            run.interrupt(Stop.CANCEL)

        def short(go: threading.Event = go, length: int = length) -> str:
            go.set()
            for _ in range(length):
                pass
            return "done"

        thread = threading.Thread(target=interrupter)
        thread.start()
        first = asyncio.ensure_future(one_thread.run(run, short))
        # The next jobs in the same thread, already waiting for it.
        rest = [asyncio.ensure_future(one_thread.run(new_run(), untouched)) for _ in range(3)]
        ended = await first
        assert ended.value == "done" or isinstance(ended.error, Interrupted)
        assert await asyncio.gather(*rest) == [("untouched", None)] * 3
        thread.join(10)
        assert run.stop is Stop.CANCEL


def untouched() -> str:
    spin(0.0002)
    return "untouched"
