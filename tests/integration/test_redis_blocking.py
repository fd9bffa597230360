"""Blocking enqueues over a connection of their own: without the loop, beside it, and when the connection breaks."""

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
from headway.brokers.redis.wire import blocking as module
from headway.job import JobState
from tests.integration.redis_app import LEASE_MS, WORKER
from tests.servers import Direction

if TYPE_CHECKING:
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
    """What callers were answered without the loop."""
    seen: list[Any] = []
    call = module.Blocking.call

    def watched(self: module.Blocking, packed: bytes) -> Any:
        answer = call(self, packed)
        seen.append(answer)
        return answer

    monkeypatch.setattr(module.Blocking, "call", watched)
    return seen


async def test_they_do_without_the_loop(redis_url: str, namespace: str, answers: list[Any]) -> None:
    app, task = _app(redis_url, namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)  # after this one the task's kind is known
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


async def test_threads_and_the_loop_enqueue_side_by_side(redis_url: str, namespace: str) -> None:
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
                    app.sync.job(ids[-1]).status()  # through the loop, by its connection

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
        assert answers == [0, module.NO_ANSWER]
        await asyncio.to_thread(task.sync.enqueue, 3)
        assert answers[2:] == [0]  # by another one
        assert await _waiting(app) == await _tell(redis_url, namespace) == 4


async def test_one_that_its_server_has_closed_is_made_again(
    own_redis_server: RedisServer, namespace: str, answers: list[Any]
) -> None:
    app, task = _app(own_redis_server.url, namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        await asyncio.to_thread(task.sync.enqueue, 1)
        (mine,) = _blocking_ones(own_redis_server)
        own_redis_server.call("CLIENT", "KILL", "ID", mine)
        await asyncio.to_thread(task.sync.enqueue, 2)
        await asyncio.to_thread(task.sync.enqueue, 3)
        assert answers == [0, module.NO_ANSWER, 0]
        assert await _waiting(app) == 4
        assert len(_blocking_ones(own_redis_server)) == 1
    assert _blocking_ones(own_redis_server) == []


def _blocking_ones(server: RedisServer) -> list[str]:
    """Return the ids of the connections that blocking calls have."""
    listed = str(server.call("CLIENT", "LIST"))
    return [line.split()[0].removeprefix("id=") for line in listed.splitlines() if ":blocking:" in line]


async def test_a_process_has_three_connections_at_most(own_redis_server: RedisServer, namespace: str) -> None:
    app, task = _app(own_redis_server.url, namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        await asyncio.gather(*(asyncio.to_thread(task.sync.enqueue, n) for n in range(1, 21)))
        job = await asyncio.to_thread(task.sync.enqueue, 21)
        await app.carrier.wait_finished(job.id, 1)  # it is told by the connection for messages
        listed = str(own_redis_server.call("CLIENT", "LIST"))
        assert len([line for line in listed.splitlines() if f"name=headway:{namespace}:" in line]) == 3


async def test_a_hung_server_is_waited_for_by_the_loop(
    redis_proxy: TcpProxy, namespace: str, answers: list[Any]
) -> None:
    app, task = _app(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace)
    async with app:
        await asyncio.to_thread(task.sync.enqueue, 0)
        await asyncio.to_thread(task.sync.enqueue, 1)
        redis_proxy.hang()
        late = asyncio.create_task(asyncio.to_thread(task.sync.enqueue, 2))
        await _until(lambda: answers == [0, module.NO_ANSWER])
        assert not late.done()
        redis_proxy.flow()
        await late
        assert await _waiting(app) == 3


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


def test_many_threads_enqueue_at_once(redis_url: str, namespace: str) -> None:
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
async def test_a_forked_process_leaves_the_connection_alone(
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
