"""The server of a running worker goes away, comes back, or comes back empty."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from headway import Context, Headway
from headway.brokers.redis import session
from headway.runtime.worker import Worker
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

DEADLINE = 40.0


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not happened():  # noqa: ASYNC110 - told by a log, or by handlers
            await asyncio.sleep(0.01)


class Place:
    """A worker with all of its loops at work: a long job that reports, a schedule, short jobs to settle."""

    def __init__(self, url: str) -> None:
        self.app = Headway("outage", url=url, lease=3.0, concurrency=4)
        self.fired = 0
        self.stop = asyncio.Event()

        @self.app.task(name="long")
        async def long(ctx: Context) -> None:
            while not self.stop.is_set():
                ctx.log("still here")
                await asyncio.sleep(0.1)

        @self.app.task(name="short")
        async def short() -> int:
            return 1

        @self.app.cron("* * * * * *", name="each second")
        @self.app.task(name="tick")
        async def tick() -> None:
            self.fired += 1

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[Worker]:
        async with self.app:
            worker = Worker(self.app)
            running = asyncio.create_task(worker.run())
            await worker.ready.wait()
            await self.app.find_task("long").enqueue()
            await until(lambda: self.fired and worker.holds)
            yield worker
            self.stop.set()
            worker.stop()
            await running


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CALL_DEADLINE", 1.0)  # each loop gives calls up while the server is away
    caplog.set_level(logging.INFO)
    place = Place(server.url)
    async with place.working() as worker:
        server.stop()
        caplog.clear()
        loops = {service.name: service for service in worker.services}
        await until(
            lambda: all(loops[name].failures >= 2 for name in ("tend", "lease", "connection", "schedules"))
        )
        assert said(caplog) == ["is not available"]
        assert worker.services.outage is not None
        assert worker.services.outage.away
        server.start()
        await until(lambda: not worker.services.outage or not worker.services.outage.away)
        fired = place.fired
        await until(lambda: place.fired > fired)
        assert await (await place.app.find_task("short").enqueue()).result(timeout=DEADLINE) == 1
        assert said(caplog) == ["is not available", "is available again, after"]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the worker said of its carrier, and every other line at all."""
    known = ("is not available", "is available again, after")
    lines = [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and "superseded" not in record.getMessage()
    ]
    lines = [line for line in lines if "schedules of app" not in line and "lease was lost" not in line]
    return [next((words for words in known if words in line), line) for line in lines]


@pytest.mark.parametrize("how", ["flushed", "restarted"])
async def test_a_server_that_comes_back_empty_is_told_all_it_must_know(
    server: RedisServer, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schedules are declared anew, jobs are accepted and run, and a worker that idles is woken."""
    monkeypatch.setattr("headway.runtime.scheduler._LONGEST_SLEEP", 1.0)
    place = Place(server.url)
    async with place.working():
        assert await (await place.app.find_task("short").enqueue()).result(timeout=DEADLINE) == 1
        if how == "flushed":
            server.call("FLUSHALL")
        else:
            server.kill()
            server.start()
        fired = place.fired
        await until(lambda: place.fired > fired + 1)
        for _ in range(3):
            assert await (await place.app.find_task("short").enqueue()).result(timeout=DEADLINE) == 1
        assert [record.name for record in await place.app.carrier.schedules()] == ["each second"]
        [again] = [record for record in caplog.records if "declared anew" in record.getMessage()]
        assert again.levelno == logging.WARNING
