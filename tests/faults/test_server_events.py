"""Live events while their server is stopped and killed under load: no gap, no duplicate, and memory that stays."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from headway import Headway
from tests.faults.sse import Reader, mute
from tests.servers import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from headway.events import Event
    from tests.servers import RedisServer

CLIENTS: Final = int(os.environ.get("HEADWAY_TEST_SSE_CLIENTS", "60"))
ROUNDS: Final = 3
JOBS: Final = 400  # a round
APP: Final = """
from headway import Headway

app = Headway("NAMESPACE", url="URL", access="sqlite:///FOLDER/access.db")

@app.task(name="nothing", queue="q")
async def nothing(n: int) -> None: ...
"""


def written(folder: Path, url: str, namespace: str) -> None:
    text = APP.replace("NAMESPACE", namespace).replace("URL", url).replace("FOLDER", str(folder))
    (folder / "events_app.py").write_text(text)


async def until(condition: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - of many readers
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what}")


class Truth:
    """All events, as the carrier tells them to somebody who was never away."""

    def __init__(self, app: Headway) -> None:
        self.jobs: list[tuple[str, str, int]] = []
        self._app = app

    async def follow(self) -> None:
        stream = cast("AsyncGenerator[Event, Any]", self._app.carrier.events())
        async with aclosing(stream) as events:
            async for event in events:
                self.jobs.append((str(event.kind), str(event.job_id), event.epoch))


async def load(app: Headway, jobs: int) -> None:
    """Enqueue, and cancel some: two events for those."""
    task = app.find_task("nothing")
    for start in range(0, jobs, 20):
        handles = await app.enqueue_many([task.job(n) for n in range(start, start + 20)])
        await app.carrier.cancel([handle.id for handle in handles[::4]])
        await asyncio.sleep(0.005)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("carrier", ["redis", "sqlite"])
async def test_readers_miss_nothing_and_get_nothing_twice_while_their_server_is_ended_twice(
    redis_server: RedisServer, namespace: str, tmp_path: Path, carrier: str
) -> None:
    url = redis_server.url if carrier == "redis" else f"sqlite:///{tmp_path}/jobs.db"
    written(tmp_path, url, namespace)
    app = Headway(namespace, url=url)

    @app.task(name="nothing", queue="q")
    async def nothing(n: int) -> None: ...

    server = ApiServer("events_app:app", tmp_path)
    readers = [Reader(server.port) for _ in range(CLIENTS)]
    filtered = Reader(server.port, "?kind=cancelled")
    async with app:
        truth = Truth(app)
        following = asyncio.create_task(truth.follow())
        await app.carrier.events_end()
        await asyncio.to_thread(server.start)
        try:
            for reader in [*readers, filtered]:
                reader.start()
            await until(
                lambda: all(one.greeted.is_set() for one in [*readers, filtered]), "all are connected"
            )
            begin = len(truth.jobs)
            for number in range(ROUNDS):
                loading = asyncio.create_task(load(app, JOBS))
                await asyncio.sleep(0.3)
                if number == 0:
                    await asyncio.to_thread(server.stop)
                elif number == 1:
                    await asyncio.to_thread(server.kill)
                if number < 2:
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(server.start)
                await loading
            expected = ROUNDS * JOBS * 5 // 4
            await until(lambda: len(truth.jobs) - begin >= expected, "the carrier has told of all")
            await until(
                lambda: (
                    all(len(one.jobs) >= expected for one in readers) and len(filtered.jobs) >= expected // 5
                ),
                f"all have all: {sorted({len(one.jobs) for one in readers})} of {expected}",
            )
            await asyncio.sleep(0.3)  # for what comes twice
        finally:
            for reader in [*readers, filtered]:
                await reader.stop()
            following.cancel()
            server.close()
    wanted = truth.jobs[begin:]
    assert len(wanted) == expected
    for reader in readers:
        assert reader.jobs == wanted
        assert reader.connections >= 2
        assert "missed" not in reader.names()
    assert filtered.jobs == [one for one in wanted if one[0] == "cancelled"]


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


@pytest.mark.timeout(120)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
async def test_memory_stays_with_readers_that_never_read(
    redis_server: RedisServer, namespace: str, tmp_path: Path
) -> None:
    written(tmp_path, redis_server.url, namespace)
    app = Headway(namespace, url=redis_server.url)

    @app.task(name="nothing", queue="q")
    async def nothing(n: int) -> None: ...

    server = ApiServer("events_app:app", tmp_path)
    async with app:
        await asyncio.to_thread(server.start)
        silent = []
        lively = Reader(server.port)
        try:
            lively.start()
            await until(lively.greeted.is_set, "one is connected")
            await app.enqueue_many([nothing.job(n) for n in range(30_000)])
            await until(lambda: len(lively.jobs) >= 30_000, "one has read all")
            before = resident_mb(server.pid)
            silent = [await mute(server.port) for _ in range(50)]
            await asyncio.sleep(0.5)
            await app.enqueue_many([nothing.job(n) for n in range(40_000)])
            await until(lambda: len(lively.jobs) >= 70_000, "one has read all, beside those who do not read")
            grown = resident_mb(server.pid) - before
        finally:
            for writing in silent:
                writing.transport.abort()
            await lively.stop()
            server.close()
    assert grown < 60, f"{grown:.0f} MB for 50 readers that do not read"
