"""Worker groups of an app with two carriers: what befalls one of them, or a worker, is nothing to the other."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.job import JobState
from tests.faults.effects import EFFECTS
from tests.faults.group import Group
from tests.faults.jobs import EVENTS, NAMESPACE, build, lines_of
from tests.faults.processes import send
from tests.faults.until import until, until_told
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from headway.job import JobId

pytestmark = pytest.mark.timeout(180)


class Place:
    """Two stores as the test has them open, and the worker groups that serve both."""

    def __init__(self, folder: Path, namespace: str, **urls: str) -> None:
        self.stores = {name: from_url(url, BrokerSettings(namespace)) for name, url in urls.items()}
        self.groups: list[Group] = []
        self._effects = folder / "effects.jsonl"
        self._folder = folder
        self._made = build(namespace, url=f"sqlite:///{folder}/unused.db")
        self._environ = {
            "HEADWAY_CARRIERS": ",".join(f"{name}={url}" for name, url in urls.items()),
            NAMESPACE: namespace,
            EFFECTS: str(self._effects),
            EVENTS: "off",
        }

    async def group(self, *options: str) -> Group:
        folder = self._folder / f"group{len(self.groups)}"
        folder.mkdir()
        group = Group(folder, self._environ, *options)
        self.groups.append(group)
        await group.start()
        return group

    async def enqueue(self, name: str, task: str, *args: Any, count: int = 1) -> list[JobId]:
        jobs = [self._made.find_task(task).job(*args).new for _ in range(count)]
        return [one.id for one in await self.stores[name].enqueue(jobs)]

    async def started(self, ids: list[JobId], crashes: int = 0) -> None:
        await until(
            lambda: {one["job"] for one in self.effects("start") if one["crashes"] == crashes} >= set(ids),
            f"{len(ids)} jobs start with {crashes} crashes",
        )

    def effects(self, what: str) -> list[dict[str, Any]]:
        return [one for one in lines_of(self._effects) if one["what"] == what]

    async def in_state(self, name: str, ids: list[JobId], state: JobState, within: float = 30.0) -> None:
        async def are() -> bool:
            return {one.state for one in await self.stores[name].get(ids) if one is not None} == {state}

        await until_told(are, f"{len(ids)} jobs on {name} are {state}", within)


@asynccontextmanager
async def opened(folder: Path, namespace: str, **urls: str) -> AsyncIterator[Place]:
    place = Place(folder, namespace, **urls)
    for store in place.stores.values():
        await store.open()
    try:
        yield place
    finally:
        for group in place.groups:
            print(f"--- group {group.supervisor}:\n{group.log()}")  # noqa: T201 - where a test failed
            await group.close()
        for store in place.stores.values():
            await store.close()


@pytest.fixture
async def place(own_redis_server: RedisServer, namespace: str, tmp_path: Path) -> AsyncIterator[Place]:
    urls = {"file": f"sqlite:///{tmp_path}/jobs.db", "redis": own_redis_server.url}
    async with opened(tmp_path, namespace, **urls) as made:
        yield made


async def test_the_jobs_of_a_killed_worker_come_back_on_each_carrier(
    place: Place, figure: Callable[[str], None]
) -> None:
    group = await place.group("--processes", "1", "--concurrency", "40", "--lease", "60s")
    ids = {name: await place.enqueue(name, "hang_once", count=15) for name in place.stores}
    for some in ids.values():
        await place.started(some)
    loop = asyncio.get_running_loop()
    began = loop.time()
    send(group.workers[0], signal.SIGKILL)
    for some in ids.values():
        await place.started(some, crashes=1)
    figure(f"15 jobs on each of two carriers: running again after {loop.time() - began:.2f} s")
    for name, some in ids.items():
        await place.in_state(name, some, JobState.SUCCEEDED)


async def test_a_drain_hands_back_on_each_carrier(place: Place) -> None:
    group = await place.group("--processes", "1", "--grace", "0s", "--lease", "60s")
    ids = {name: await place.enqueue(name, "slow", 60.0, count=3) for name in place.stores}
    for some in ids.values():
        await place.started(some)
    group.terminate()
    await group.wait_ended()
    assert group.exit_code == 0
    for name, some in ids.items():
        await place.in_state(name, some, JobState.READY, within=1.0)
        assert await place.stores[name].workers() == []


async def test_a_frozen_carrier_costs_the_leases_of_its_own_jobs_alone(
    place: Place, own_redis_server: RedisServer
) -> None:
    await place.group("--processes", "1", "--lease", "2s")
    ids = {name: await place.enqueue(name, "told_when_lost") for name in place.stores}
    for some in ids.values():
        await place.started(some)
    own_redis_server.pause()
    try:
        await asyncio.sleep(5)  # longer than two leases
        # Meanwhile the other carrier's jobs begin at once.
        [quick] = await place.enqueue("file", "quick")
        await until(lambda: quick in {one["job"] for one in place.effects("end")}, "a job of the file", 2.0)
    finally:
        own_redis_server.resume()
    await until(lambda: place.effects("cancelled"), "the job that lost its lease is told")
    await place.started(ids["redis"], crashes=1)
    assert {one["job"] for one in place.effects("cancelled")} == set(ids["redis"])
    [record] = await place.stores["file"].get(ids["file"])
    assert record is not None
    assert (record.state, record.epoch, record.crashes) == (JobState.RUNNING, 1, 0)


async def test_a_job_past_its_time_is_judged_on_its_own_carrier(place: Place) -> None:
    await place.group("--processes", "2", "--lease", "15s")
    ids = {name: await place.enqueue(name, "overdue", 60.0) for name in place.stores}
    for name, some in ids.items():
        await place.in_state(name, some, JobState.FAILED, within=60.0)
        [record] = await place.stores[name].get(some)
        assert record is not None
        assert (record.attempt, record.crashes) == (2, 0)


async def test_a_group_that_starts_while_a_carrier_is_away_serves_the_other_and_then_both(
    place: Place, own_redis_server: RedisServer
) -> None:
    ids = await place.enqueue("redis", "quick")
    own_redis_server.stop()
    group = await place.group("--processes", "1", "--lease", "15s")
    await place.in_state("file", await place.enqueue("file", "quick"), JobState.SUCCEEDED, within=5.0)
    own_redis_server.start()
    await place.in_state("redis", ids, JobState.SUCCEEDED)
    [held] = await place.enqueue("redis", "hang_once")
    await place.started([held])
    send(group.workers[0], signal.SIGKILL)  # the supervisor has found it too
    await place.in_state("redis", [held], JobState.SUCCEEDED)


@pytest.fixture
def east() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_each_carrier_has_its_connections_and_its_idle_commands(
    own_redis_server: RedisServer,
    east: RedisServer,
    namespace: str,
    tmp_path: Path,
    figure: Callable[[str], None],
) -> None:
    servers = {"main": own_redis_server, "east": east}
    async with opened(tmp_path, namespace, **{name: one.url for name, one in servers.items()}) as place:
        group = await place.group("--processes", "2", "--lease", "15s")
        for name in servers:
            await place.in_state(name, await place.enqueue(name, "quick"), JobState.SUCCEEDED)
        for name, server in servers.items():
            text = server.call("CLIENT", "LIST")
            assert isinstance(text, str)
            names = re.findall(r" name=(\S*:\S*) ", text)
            held = Counter(int(one.rpartition(":")[2]) for one in names)
            pids = {group.supervisor, *group.workers}
            figure(f"{name}: {sorted(held[pid] for pid in pids)} connections a process")
            assert max(held[pid] for pid in pids) <= 3
            assert min(held[pid] for pid in pids) >= 1
            assert set(held) <= pids | {os.getpid()}
        # The first round of maintenance after the start comes within these seconds.
        await asyncio.sleep(6)
        before = {name: _commands(server) for name, server in servers.items()}
        await asyncio.sleep(15)
        for name, server in servers.items():
            sent = _commands(server) - before[name]
            figure(f"{name}: {sent} commands of clients in 15 s, 3 processes idle")
            assert sent <= 0.2 * 15 * 3
        for name in servers:
            await place.in_state(name, await place.enqueue(name, "quick"), JobState.SUCCEEDED, within=5)


async def test_names_of_carriers_are_refused_before_anything_is_opened(
    place: Place, own_redis_server: RedisServer
) -> None:
    own_redis_server.stop()
    with pytest.raises(AssertionError, match=r"none of the name 'north'; it has file, redis"):
        await place.group("--carriers", "file,north")
    assert place.groups[0].exit_code == 2


def _commands(server: RedisServer) -> int:
    stats = server.call("INFO", "commandstats")
    assert isinstance(stats, str)
    calls = {name: int(calls) for name, calls in re.findall(r"cmdstat_([^:]+):calls=(\d+)", stats)}
    return sum(calls.get(name, 0) for name in ("evalsha", "eval", "ping", "publish", "subscribe", "set"))
