"""The portal: blocking code calls the async core, from any thread, but never from the loop it would wait for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.app.portal import Portal
from headway.errors import ArgumentsError, HeadwayError, ResultTimeoutError
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Door:
    """What a portal opens."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed = 0

    async def open(self) -> None:
        self.opened.append(threading.current_thread().name)

    async def close(self) -> None:
        self.closed += 1


async def double(n: int) -> int:
    await asyncio.sleep(0)
    return n * 2


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def portal(door: Door) -> Iterator[Portal]:
    portal = Portal(door.open, door.close)
    yield portal
    portal.close()


def test_it_opens_at_the_first_call_and_once(portal: Portal, door: Door) -> None:
    assert door.opened == []
    assert [portal.call(double, n) for n in range(3)] == [0, 2, 4]
    assert door.opened == ["headway-portal"]


def test_many_threads_share_one_loop(portal: Portal, door: Door) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda n: portal.call(double, n), range(200))) == [n * 2 for n in range(200)]
    assert len(door.opened) == 1


def test_errors_come_through(portal: Portal) -> None:
    async def fail() -> None:
        msg = "x"
        raise KeyError(msg)

    with pytest.raises(KeyError, match="x"):
        portal.call(fail)


def test_close_closes_what_was_opened_and_a_later_call_opens_anew(portal: Portal, door: Door) -> None:
    portal.close()
    assert door.closed == 0
    portal.call(double, 1)
    portal.close()
    portal.close()
    assert door.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "headway-portal"]
    assert portal.call(double, 2) == 4
    assert len(door.opened) == 2


def test_a_failed_opening_is_told_and_tried_again_at_the_next_call() -> None:
    door = Door()

    async def refuse() -> None:
        if not door.opened:
            await door.open()
            msg = "not yet"
            raise OSError(msg)

    portal = Portal(refuse, door.close)
    with pytest.raises(OSError, match="not yet"):
        portal.call(double, 1)
    assert portal.call(double, 1) == 2
    portal.close()


async def test_on_the_loop_that_it_would_wait_for_it_is_refused(portal: Portal) -> None:
    portal.attach(asyncio.get_running_loop())
    with pytest.raises(HeadwayError, match=r"double: the blocking twin was called on the event loop; await"):
        portal.call(double, 1)
    portal.detach()


async def test_a_thread_beside_the_loop_uses_it(portal: Portal, door: Door) -> None:
    portal.attach(asyncio.get_running_loop())
    assert await asyncio.to_thread(portal.call, double, 4) == 8
    assert door.opened == []
    portal.detach()


def test_a_call_inside_its_own_loop_is_refused(portal: Portal) -> None:
    async def inner() -> int:
        return portal.call(double, 1)

    with pytest.raises(HeadwayError, match="called on the event loop"):
        portal.call(inner)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Headway]:
    app = Headway("blocking", url=f"sqlite:///{tmp_path}/jobs.db")

    @app.task(name="double")
    def _(n: int) -> int:
        return n * 2

    with app.sync:
        yield app


def test_the_blocking_twins_of_an_app(app: Headway) -> None:
    task = app.find_task("double")
    job = task.sync.enqueue(1)
    assert job.status() is JobState.READY
    assert app.sync.job(job.id).record().task == "double"
    with pytest.raises(ResultTimeoutError, match=f"job {job.id}: still ready after 0.01 s"):
        job.result(timeout=0.01)
    assert task.options(key="k").sync.enqueue(2).id == task.options(key="k").sync.enqueue(3).id
    assert job.cancel("enough") is JobState.CANCELLED
    assert job.wait() is JobState.CANCELLED
    assert (job.progress(), job.logs(), job.duplicate) == (None, [], False)
    assert len(app.sync.enqueue_many(task.job(n) for n in range(5))) == 5
    with pytest.raises(ArgumentsError):
        task.sync.enqueue("x")


def test_an_app_is_used_by_many_threads_at_once(app: Headway) -> None:
    task = app.find_task("double")
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(task.sync.enqueue, range(100)))
    assert len({job.id for job in jobs}) == 100
    assert all(job.status() is JobState.READY for job in jobs)


FORK = """
import os, signal, sys, asyncio
from headway import Headway

app = Headway("forked", url="sqlite:///jobs.db")

@app.task(name="t")
def t(n: int) -> None: ...

def fork_and_enqueue():
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            t.sync.enqueue(2)
            app.sync.close()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, status

async def count():
    async with app:
        return sum(sum(c.counts.values()) for c in await app.carrier.counts())

def blocking():
    t.sync.enqueue(1)
    fork_and_enqueue()
    t.sync.enqueue(3)
    app.sync.close()

async def beside_a_loop():
    async with app:
        await t.enqueue(1)
        await asyncio.to_thread(fork_and_enqueue)
        await t.enqueue(3)

if sys.argv[1] == "blocking":
    blocking()
else:
    asyncio.run(beside_a_loop())
print(asyncio.run(count()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("how", ["blocking", "beside a loop"])
def test_after_a_fork_each_process_has_a_portal_of_its_own(tmp_path: Path, how: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FORK, how],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (answer.returncode, answer.stdout.strip()) == (0, "3"), answer.stderr


EXIT = """
from headway import Headway

app = Headway("exit", url="sqlite:///jobs.db")

@app.task(name="t")
def t(n: int) -> None: ...

print(t.sync.enqueue(1).status().value)
"""


def test_a_program_that_closes_nothing_ends_in_silence(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", EXIT], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "ready\n", "")
