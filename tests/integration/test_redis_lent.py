"""Blocking enqueues over the lent connection: without the loop, beside it, and when the connection breaks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway
from headway.brokers.base import QueueWant
from headway.brokers.redis.wire import blocking as loan_module
from headway.brokers.redis.wire import connection as pipe_module
from headway.brokers.redis.wire.blocking import Stage
from headway.codec import describe
from headway.job import JobState
from tests.integration.redis_app import LEASE_MS, WORKER
from tests.servers import Direction

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from headway import Task
    from tests.servers import RedisServer, TcpProxy

WAIT = 30.0


def _app(url: str, namespace: str) -> tuple[Headway, Task[[int], Any]]:
    app = Headway(namespace, url=url)

    @app.task(name="t")
    def t(n: int) -> None: ...

    return app, t


async def _waiting(app: Headway) -> int:
    return sum(sum(queue.counts.values()) for queue in await app.carrier.counts())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What borrowers were answered."""
    seen: list[Any] = []
    call = loan_module.Loan.call

    def watched(self: loan_module.Loan, packed: bytes) -> Any:
        answer = call(self, packed)
        seen.append(answer)
        return answer

    monkeypatch.setattr(loan_module.Loan, "call", watched)
    return seen


async def test_they_do_without_the_loop(redis_url: str, namespace: str, answers: list[Any]) -> None:
    app, task = _app(redis_url, namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)  # after this one the connection is lent
        done = threading.Event()

        def enqueue() -> None:
            for n in range(1, 21):
                task.sync.enqueue(n)
            done.set()

        thread = threading.Thread(target=enqueue)
        thread.start()
        assert done.wait(WAIT)
        thread.join()
        assert answers == [0] * 20
        assert await _waiting(app) == 21


async def test_the_loop_gets_the_connection_back_at_once(redis_url: str, namespace: str) -> None:
    app, task = _app(redis_url, namespace)
    async with app:

        def enqueue(first: int) -> None:
            for n in range(first, first + 200):
                task.sync.enqueue(n)

        async def beside() -> None:
            for n in range(200):
                await task.enqueue(n)

        await asyncio.gather(beside(), beside(), *(asyncio.to_thread(enqueue, n) for n in (0, 200, 400)))
        assert await _waiting(app) == 1000


async def test_jobs_of_a_thread_keep_their_order(redis_url: str, namespace: str) -> None:
    app, task = _app(redis_url, namespace)
    async with app:
        ids: list[str] = []

        def enqueue() -> None:
            for n in range(100):
                ids.append(task.sync.enqueue(n).id)
                if n % 7 == 0:
                    app.sync.job(ids[-1]).status()  # through the loop: the connection goes to and fro

        await asyncio.to_thread(enqueue)
        claimed = await app.pull_carrier.claim(
            [QueueWant("default", 100)], worker=WORKER, limit=100, lease_ms=LEASE_MS
        )
        assert [delivery.lease.job_id for delivery in claimed.deliveries] == ids


async def _tell(redis_url: str, namespace: str) -> int:
    app, _ = _app(redis_url, namespace)
    async with app:
        return await _waiting(app)


@pytest.mark.parametrize("direction", list(Direction))
async def test_a_cut_connection_adds_each_job_once(
    redis_proxy: TcpProxy, redis_url: str, namespace: str, answers: list[Any], direction: Direction
) -> None:
    app, task = _app(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        await asyncio.to_thread(task.sync.enqueue, 1)
        redis_proxy.reset_after(0, direction)
        await asyncio.to_thread(task.sync.enqueue, 2)
        await redis_proxy.wait_reset()
        assert answers == [0, loan_module.NO_ANSWER]
        await asyncio.to_thread(task.sync.enqueue, 3)
        assert answers[2:] == [0]  # lent again
        assert await _waiting(app) == await _tell(redis_url, namespace) == 4


async def test_a_call_cut_within_is_not_completed_by_the_next(
    redis_proxy: TcpProxy, namespace: str, answers: list[Any]
) -> None:
    app, task = _app(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        redis_proxy.reset_after(150, Direction.TO_SERVER)
        job = await asyncio.to_thread(task.sync.enqueue, 1)
        await redis_proxy.wait_reset()
        assert answers == [loan_module.NO_ANSWER]
        assert await _waiting(app) == 2
        assert (await app.job(job.id).record()).state is JobState.READY


class CutOff:
    """A connection on which Ctrl-C strikes before the payload's last bytes: the next call's first would complete it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data[:-4])
        raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


async def test_nothing_is_written_behind_half_a_call(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, task = _app(redis_url, namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        commands: Any = app.carrier._commands  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateUsage]
        loan = commands.loan
        written = _watch(monkeypatch, commands._connection)
        loan._connection = CutOff(loan._connection)

        def interrupted() -> None:
            with pytest.raises(KeyboardInterrupt):
                task.sync.enqueue(1)

        thread = threading.Thread(target=interrupted)
        thread.start()
        thread.join(WAIT)  # on the loop: its next turn both hears of this and has calls of its own
        jobs = await asyncio.gather(*(task.enqueue(n) for n in range(2, 12)))
        assert written == []
        assert await _waiting(app) == 11
        payloads = [describe((await job.record()).raw.payload)["args"] for job in jobs]
        assert payloads == [[n] for n in range(2, 12)]


async def test_a_hung_server_is_waited_for_by_the_loop(
    redis_proxy: TcpProxy, namespace: str, answers: list[Any]
) -> None:
    app, task = _app(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        redis_proxy.hang()
        late = asyncio.create_task(asyncio.to_thread(task.sync.enqueue, 1))
        await _until(lambda: answers == [loan_module.NO_ANSWER])
        assert not late.done()
        redis_proxy.flow()
        await late
        await asyncio.to_thread(task.sync.enqueue, 2)
        assert answers == [loan_module.NO_ANSWER, 0]
        assert redis_proxy.accepted == 1  # it was not cut for that
        assert await _waiting(app) == 3


async def test_the_loop_writes_nothing_while_a_borrower_is_under_way(
    redis_proxy: TcpProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe_module, "PATIENCE", WAIT)
    app, task = _app(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        commands: Any = app.carrier._session._commands  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateUsage]
        loan, connection = commands.loan, commands._connection
        redis_proxy.hang()
        borrower = asyncio.create_task(asyncio.to_thread(task.sync.enqueue, 1))
        await _until(lambda: loan.stage is Stage.WAITING)
        mine = asyncio.create_task(task.enqueue(2))
        await _until(lambda: bool(commands._outbox))
        written = _watch(monkeypatch, connection)
        connection.resume_writing()  # as the socket may say at any time
        assert written == []
        redis_proxy.flow()
        await asyncio.gather(borrower, mine)
        assert len(written) == 1
        assert redis_proxy.accepted == 1
        assert await _waiting(app) == 3


def _watch(monkeypatch: pytest.MonkeyPatch, connection: Any) -> list[bytes]:
    written: list[bytes] = []
    write = type(connection).write

    def watched(self: Any, commands: bytes) -> None:
        if self is connection:
            written.append(commands)
        write(self, commands)

    monkeypatch.setattr(type(connection), "write", watched)
    return written


async def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        await asyncio.sleep(0.005)


def test_a_restarted_server_is_found_again(own_redis_server: RedisServer, namespace: str) -> None:
    app, task = _app(own_redis_server.url, namespace)
    with app.sync:
        for n in range(3):
            task.sync.enqueue(n)
        own_redis_server.kill()
        own_redis_server.start()
        assert task.sync.enqueue(3).status() is JobState.READY
        assert task.sync.enqueue(4).status() is JobState.READY


def test_an_emptied_server_is_told_the_kind_again(own_redis_server: RedisServer, namespace: str) -> None:
    app, task = _app(own_redis_server.url, namespace)
    with app.sync:
        for n in range(3):
            task.sync.enqueue(n)
        own_redis_server.call("FLUSHALL")
        assert task.sync.enqueue(3).record().task == "t"


def test_many_threads_share_one_connection(redis_url: str, namespace: str) -> None:
    app, task = _app(redis_url, namespace)
    with app.sync:
        threads = [
            threading.Thread(target=lambda: [task.sync.enqueue(n) for n in range(100)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert app.portal.call(_waiting, app) == 800


FORK = """
import asyncio, os, signal, sys
from headway import Headway

app = Headway(sys.argv[2], url=sys.argv[1])

@app.task(name="t")
def t(n: int) -> None: ...

def enqueue_and_fork():
    for n in range(20):
        t.sync.enqueue(n)
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            assert app.portal.loop_elsewhere() is None  # nothing of the parent's may be used
            for n in range(20):
                t.sync.enqueue(n)
            app.sync.close()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    for n in range(20):
        t.sync.enqueue(n)  # while the child does the same
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for n in range(20):
        t.sync.enqueue(n)

async def beside_a_loop():
    async with app:
        await asyncio.to_thread(enqueue_and_fork)

if sys.argv[3] == "blocking":
    enqueue_and_fork()
    app.sync.close()
else:
    asyncio.run(beside_a_loop())
"""


@pytest.mark.parametrize("how", ["blocking", "beside a loop"])
async def test_a_forked_process_leaves_the_loan_alone(
    redis_url: str, namespace: str, tmp_path: Path, how: str
) -> None:
    answer = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-X", "dev", "-c", FORK, redis_url, namespace, how],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stderr
    assert "ResourceWarning" not in answer.stderr
    assert await _tell(redis_url, namespace) == 80
