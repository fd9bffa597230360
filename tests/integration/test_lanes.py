"""A worker with several carriers: each on a lane of its own, the places shared."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from headway import Context, Headway
from headway.brokers.base import BrokerSettings, JobQuery, LeaseLost
from headway.brokers.redis import session
from headway.brokers.url import from_url
from headway.errors import BrokerUnavailableError, ConfigError
from headway.job import JobState
from headway.runtime.lane import Lane
from headway.runtime.worker import Worker
from tests.faults.figures import FIGURE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from headway.brokers.base import Claimed, QueueWant
    from headway.job import JobId, JobRecord
    from tests.servers import RedisServer

DEADLINE: Final = 20.0
PICKED_UP: Final = 0.6  # seconds, on a machine that others use: without an outage it takes some milliseconds


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not happened():  # noqa: ASYNC110 - told by handlers and by state of several tasks
            await asyncio.sleep(0.005)


class Place:
    """An app with two carriers, `a` and `b`, and what its jobs did."""

    def __init__(self, a: str, b: str, *, concurrency: int = 4, **settings: Any) -> None:
        self.name = f"lanes{uuid4().hex[:12]}"  # tests share a server
        carriers = {name: from_url(url, BrokerSettings(self.name)) for name, url in (("a", a), ("b", b))}
        self.app = Headway("lanes", carrier=carriers, lease=30.0, concurrency=concurrency, **settings)
        self.ran: list[str] = []  # on whose behalf, in order
        self.running = 0
        self.most = 0
        self.lost: list[str] = []
        self.gate = asyncio.Event()

        @self.app.task(name="short")
        async def short(who: str, seconds: float = 0.0) -> str:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(seconds)
            self.ran.append(who)
            self.running -= 1
            return who

        @self.app.task(name="long")
        async def long(ctx: Context, who: str) -> None:
            self.ran.append(who)
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                if not ctx.lease_held:
                    self.lost.append(who)
                raise

    @asynccontextmanager
    async def working(self, **options: Any) -> AsyncGenerator[Worker]:
        async with self.app, self.worker(**options) as worker:
            yield worker

    @asynccontextmanager
    async def worker(self, **options: Any) -> AsyncGenerator[Worker]:
        worker = Worker(self.app, **options)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(DEADLINE):
            await worker.ready.wait()
        yield worker
        worker.stop()
        await running

    async def enqueue(self, name: str, task: str, *args: Any) -> JobId:
        job = self.app.find_task(task).job(*args)
        [accepted] = await self.app.carriers[name].enqueue([job.new])
        return accepted.id

    async def accepted_again(self, name: str, task: str, *args: Any) -> JobId:
        """Enqueue where the connection may not be made anew yet."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    return await self.enqueue(name, task, *args)
                except BrokerUnavailableError:
                    await asyncio.sleep(0.05)

    async def ends(self, name: str, job_id: JobId) -> JobRecord:
        async with asyncio.timeout(DEADLINE):
            record = await self.app.carriers[name].wait_finished(job_id, None)
        assert record is not None
        return record

    async def state(self, name: str, job_id: JobId) -> JobState:
        [record] = await self.app.carriers[name].get([job_id])
        assert record is not None
        return record.state


@pytest.fixture(params=["sqlite and sqlite", "sqlite and redis", "redis and redis"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    def url(kind: str, name: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        server: str = request.getfixturevalue("redis_url")
        return server.rpartition("/")[0] + ("/1" if name == "a" else "/2")

    first, _, second = str(request.param).partition(" and ")
    return url(first, "a"), url(second, "b")


async def test_a_worker_runs_the_jobs_of_all_carriers(urls: tuple[str, str]) -> None:
    place = Place(*urls)
    async with place.working() as worker:
        jobs = [(name, await place.enqueue(name, "short", name)) for name in ("a", "b") * 5]
        records = [await place.ends(name, job_id) for name, job_id in jobs]
        assert {record.state for record in records} == {JobState.SUCCEEDED}
        assert {record.worker for record in records} <= {worker.id, ""} | {None}
        assert sorted(place.ran) == ["a"] * 5 + ["b"] * 5
        other = {"a": "b", "b": "a"}
        for name, job_id in jobs:
            assert await place.app.carriers[other[name]].get([job_id]) == [None]


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("seconds", [0.0, 0.03])
async def test_two_backlogs_share_the_places_evenly(
    urls: tuple[str, str], concurrency: int, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    place = Place(*urls, concurrency=concurrency)
    count = 60 if seconds else 2000
    async with place.app:
        for name in ("a", "b"):
            jobs = [place.app.find_task("short").job(name, seconds).new for _ in range(count)]
            await place.app.carriers[name].enqueue(jobs)
        async with place.worker():
            await until(lambda: len(place.ran) == 2 * count)
    assert place.most == concurrency
    first = place.ran[:count]
    record_property(FIGURE, f"{first.count('a')} and {first.count('b')} of the first {count}")
    # Jobs that take no time: the carrier that answers sooner has brought more of them.
    share = 0.35 if seconds else 0.1
    assert min(first.count("a"), first.count("b")) >= count * share


async def test_the_limit_of_a_queue_is_one_for_all_carriers(urls: tuple[str, str]) -> None:
    place = Place(*urls, concurrency=8, queue_concurrency={"default": 1})
    async with place.app:
        for name in ("a", "b"):
            jobs = [place.app.find_task("short").job(name, 0.005).new for _ in range(30)]
            await place.app.carriers[name].enqueue(jobs)
        async with place.worker():
            await until(lambda: len(place.ran) == 60)
    assert place.most == 1
    assert min(place.ran[:30].count("a"), place.ran[:30].count("b")) >= 5


async def test_lanes_without_jobs_do_not_wake_each_other(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a queue has a limit too, and also while it is full."""
    claims: list[str] = []
    claim = Lane._claim

    async def counted(lane: Lane, wants: list[QueueWant], room: int) -> Claimed:
        claims.append(lane.name)
        return await claim(lane, wants, room)

    monkeypatch.setattr(Lane, "_claim", counted)
    place = Place(*urls, concurrency=8, queue_concurrency={"default": 1})
    async with place.working():
        await asyncio.sleep(0.5)
        assert len(claims) < 20
        claims.clear()
        await place.enqueue("a", "long", "a")
        await until(lambda: place.ran == ["a"])
        await asyncio.sleep(0.5)
        assert len(claims) < 20
        place.gate.set()


async def test_a_lane_alone_with_jobs_has_all_places(urls: tuple[str, str]) -> None:
    place = Place(*urls, concurrency=6)
    async with place.working() as worker:
        for _ in range(12):
            await place.enqueue("b", "long", "b")
        await until(lambda: len(place.ran) == 6)
        place.gate.set()
        await until(lambda: len(place.ran) == 12 and not worker.holds)


async def test_the_lost_lease_of_one_carrier_interrupts_its_runs_alone(
    urls: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(*urls)
    async with place.working() as worker:
        ids = {name: await place.enqueue(name, "long", name) for name in ("a", "b")}
        await until(lambda: sorted(place.ran) == ["a", "b"])
        worker.lanes[1]._hear(LeaseLost())
        await until(lambda: place.lost)
        assert place.lost == ["b"]
        assert "carrier b: the lease was lost; 1 jobs are given up" in caplog.text
        place.gate.set()
        assert (await place.ends("a", ids["a"])).state is JobState.SUCCEEDED


async def test_a_worker_that_drains_hands_back_to_each_carrier(urls: tuple[str, str]) -> None:
    place = Place(*urls)
    async with place.app:
        async with place.worker(grace=0.0):
            ids = {name: await place.enqueue(name, "long", name) for name in ("a", "b")}
            await until(lambda: sorted(place.ran) == ["a", "b"])
        for name, job_id in ids.items():
            assert await place.state(name, job_id) is JobState.READY
            assert await place.app.carriers[name].workers() == []


async def test_a_full_worker_leaves_the_idle_lists_of_its_other_carriers(urls: tuple[str, str]) -> None:
    """What it could not run goes to a worker that can, at once."""
    place = Place(*urls, concurrency=1)
    async with place.working():
        await place.enqueue("a", "long", "a")
        await until(lambda: place.ran == ["a"])
        await asyncio.sleep(0.2)  # it says so when it has been full for a moment
        async with place.worker(carriers=["b"]):
            for _ in range(4):
                began = time.monotonic()
                await place.ends("b", await place.enqueue("b", "short", "b"))
                assert time.monotonic() - began < PICKED_UP
        place.gate.set()


async def test_a_job_that_comes_to_a_full_worker_goes_back(urls: tuple[str, str]) -> None:
    place = Place(*urls, concurrency=1)
    async with place.working() as worker:
        ids = [await place.enqueue(name, "long", name) for name in ("a", "b")]
        await until(lambda: place.ran)
        async with place.worker():  # whichever the first one runs, the second runs the other
            began = time.monotonic()
            await until(lambda: len(place.ran) == 2)
            assert time.monotonic() - began < PICKED_UP
            assert sorted(place.ran) == ["a", "b"]
            assert worker.holds == 1
            place.gate.set()
            for name, job_id in zip(("a", "b"), ids, strict=True):
                await place.ends(name, job_id)


@pytest.mark.parametrize("backlog", [False, True])
@pytest.mark.parametrize("how", ["frozen", "stopped"])
async def test_the_outage_of_one_carrier_leaves_the_other_alone(
    tmp_path: Path,
    own_redis_server: RedisServer,
    how: str,
    backlog: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(session, "CALL_DEADLINE", 0.5)  # each loop gives calls up while the server is away
    caplog.set_level(logging.INFO)
    place = Place(f"sqlite:///{tmp_path / 'a.db'}", own_redis_server.url, concurrency=2)
    async with place.working():
        await place.ends("b", await place.enqueue("b", "short", "b"))
        if backlog:
            jobs = [place.app.find_task("short").job("b", 0.01).new for _ in range(2000)]
            await place.app.carriers["b"].enqueue(jobs)
            await until(lambda: len(place.ran) > 20)
        if how == "frozen":
            own_redis_server.pause()
        else:
            own_redis_server.stop()
        took: list[float] = []
        for _ in range(30):
            began = time.monotonic()
            await place.ends("a", await place.enqueue("a", "short", "a"))
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        ran = len(place.ran)
        monkeypatch.setattr(session, "CALL_DEADLINE", 10.0)  # the connection comes back within two seconds
        if how == "frozen":
            own_redis_server.resume()
        else:
            own_redis_server.start()
        if backlog:
            await until(lambda: len(place.ran) > ran + 20)
        else:
            await place.ends("b", await place.accepted_again("b", "short", "b"))
    record_property(FIGURE, f"{how}: at most {max(took) * 1000:.0f} ms, mean {sum(took) / 30 * 1000:.0f} ms")
    assert max(took) < PICKED_UP
    if backlog:  # else nobody asks it within that time
        assert "carrier b is not available" in caplog.text
    assert "carrier a is not available" not in caplog.text


async def test_a_fire_time_makes_one_job_whatever_the_number_of_carriers(tmp_path: Path) -> None:
    place = Place(f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}")

    @place.app.cron("* * * * * *", name="each second")
    @place.app.task(name="tick")
    async def tick(ctx: Context) -> None:
        place.ran.append(ctx.job_id)

    async with place.working() as worker:
        await until(lambda: len(place.ran) >= 3)
        assert [service.name for service in worker.services if service.name == "schedules"] == ["schedules"]
        known = {name: len((await store.list(JobQuery())).jobs) for name, store in place.app.carriers.items()}
        [record] = await place.app.carrier.schedules()
    assert known["b"] == 0  # they go where the route of their queue says
    assert known["a"] - len(set(place.ran)) in {0, 1}  # the last one may not have run yet
    assert record.last_fire_ms is not None


async def test_a_worker_begins_while_a_carrier_is_away(
    tmp_path: Path, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(f"sqlite:///{tmp_path / 'a.db'}", own_redis_server.url)
    own_redis_server.stop()
    async with place.working():
        assert "carrier b is not available" in caplog.text
        await place.ends("a", await place.enqueue("a", "short", "a"))
        with pytest.raises(BrokerUnavailableError, match="is it running"):
            await place.enqueue("b", "short", "b")
        own_redis_server.start()
        await until(lambda: "carrier b is available again" in caplog.text)
        await place.ends("b", await place.enqueue("b", "short", "b"))
    assert place.ran == ["a", "b"]


async def test_an_app_whose_carriers_are_all_away_is_not_opened(own_redis_server: RedisServer) -> None:
    url = own_redis_server.url.rpartition("/")[0]
    place = Place(f"{url}/1", f"{url}/2")
    own_redis_server.stop()
    with pytest.raises(BrokerUnavailableError, match="is it running"):
        await place.app.open()


async def test_a_worker_serves_the_carriers_that_are_named(urls: tuple[str, str]) -> None:
    place = Place(*urls)
    async with place.working(carriers=["b"]) as worker:
        assert [lane.carrier for lane in worker.lanes] == [place.app.carriers["b"]]
        left = await place.enqueue("a", "short", "a")
        await place.ends("b", await place.enqueue("b", "short", "b"))
        assert place.ran == ["b"]
        assert await place.state("a", left) is JobState.READY


async def test_names_of_carriers_are_checked(tmp_path: Path) -> None:
    place = Place(f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}")
    async with place.app:
        with pytest.raises(ConfigError, match=r"none of the name 'north'; it has a, b"):
            Worker(place.app, carriers=["a", "north"])
        with pytest.raises(ConfigError, match="none is named"):
            Worker(place.app, carriers=[])
