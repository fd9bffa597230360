"""A Redis that is killed and comes back, under load, with a spool: nothing is rejected, lost, or run twice, in order.

Judged by files that producers and handlers write by themselves, and by the records of the carrier.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from headway.brokers.base import BrokerSettings, JobQuery
from headway.brokers.url import from_url
from headway.clock import SystemClock
from headway.job import JobState
from headway.routing.failover.reading import read_spool
from tests.faults.until import until
from tests.servers import TcpProxy
from tests.servers.proxy import Direction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headway.job import JobRecord
    from headway.routing.failover.entries import Contents
    from tests.servers import RedisServer

AWAY: Final = float(os.environ.get("HEADWAY_AWAY", "4"))
"""Seconds that Redis is away under load; `HEADWAY_AWAY=20` is the long form."""
ROOT: Final = Path(__file__).parents[2]
CLI: Final = ["-c", "from headway.cli import main; main()"]


class Host:
    """A host with a spool: its processes, and what they wrote down."""

    def __init__(self, folder: Path, url: str, namespace: str) -> None:
        self.folder = folder
        self.namespace = namespace
        self.spool = folder / "spool.db"
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SPOOL_TEST_FOLDER": str(folder),
            "SPOOL_TEST_APP": namespace,
            "HEADWAY_URL": url,
            "HEADWAY_SPOOL": f"sqlite:///{self.spool}",
            "HEADWAY_BREAKER_TIMEOUT": "0.5",
            "HEADWAY_BREAKER_PAUSE": "0.5",
            "HEADWAY_LEASE": "60",  # longer than the outage: a job that runs meanwhile is not handed out again
            "HEADWAY_CONCURRENCY": "1",  # each queue is handed out in its order
        }
        self._ends = ExitStack()
        self._log = (folder / "log").open("ab")

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a Python process of the app."""
        process = subprocess.Popen(
            [sys.executable, *words],
            env=self.environ | dict(environ or {}),
            cwd=self.folder,
            stdout=self._log,
            stderr=self._log,
        )
        self._ends.callback(_end, process)
        return process

    def worker(self, **environ: str) -> subprocess.Popen[bytes]:
        return self.start(*CLI, "worker", "tests.faults.spool_app:app", "--processes", "1", environ=environ)

    def producer(self, how: str, *queues: str, **environ: str) -> subprocess.Popen[bytes]:
        return self.start("-m", "tests.faults.spool_app", how, *queues, environ=environ)

    def lines(self, file: str) -> list[list[str]]:
        try:
            text = (self.folder / file).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [line.split(" ") for line in text[: text.rfind("\n") + 1].splitlines()]

    def contents(self) -> Contents:
        return read_spool(self.spool, self.namespace, SystemClock().now_ms())[0]

    def is_empty(self) -> bool:
        return not self.contents().jobs

    def stop_producers(self) -> None:
        (self.folder / "stop").touch()

    def all_ran(self) -> bool:
        return {line[2] for line in self.lines("accepted")} <= {line[2] for line in self.lines("ran")}

    def judge(self, *, exact: bool = True) -> list[list[str]]:
        """Compare what was accepted with what ran; `exact`: nothing else ran. Return the accepted."""
        accepted, ran = self.lines("accepted"), self.lines("ran")
        assert self.lines("rejected") == []
        ids = [line[2] for line in accepted]
        assert len(set(ids)) == len(ids)
        runs = Counter(line[2] for line in ran)
        assert [one for one in ids if not runs[one]] == [], "lost"
        assert {one: count for one, count in runs.items() if count > 1} == {}, "ran twice"
        if exact:
            assert set(runs) == set(ids)
        order: dict[str, list[int]] = defaultdict(list)
        for queue, n, *_ in ran:
            order[queue].append(int(n))
        for queue, numbers in order.items():
            assert numbers == sorted(numbers), f"{queue} out of order"
        return accepted

    def close(self) -> None:
        self._ends.close()
        self._log.close()

    def said(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture
def host(tmp_path: Path, own_redis_server: RedisServer, namespace: str) -> Iterator[Host]:
    """Have a host that uses a Redis of its own."""
    one = Host(tmp_path, own_redis_server.url, namespace)
    try:
        yield one
    finally:
        one.close()


async def _records(host: Host, server: RedisServer) -> list[JobRecord]:
    found: list[JobRecord] = []
    async with from_url(server.url, BrokerSettings(host.namespace)) as store:
        after: str | None = None
        while True:
            page = await store.list(JobQuery(), after=after, limit=1000)
            found += page.jobs
            if page.cursor is None:
                return found
            after = page.cursor


@pytest.mark.timeout(AWAY * 2 + 150)
async def test_redis_killed_under_load_and_started_again(
    host: Host, own_redis_server: RedisServer, figure: Callable[[str], None]
) -> None:
    host.worker()
    producers = [
        host.producer("async", "q0", "q1"),
        host.producer("async", "q2", "q3"),
        host.producer("blocking", "q4", "q5"),
    ]
    await until(lambda: len(host.lines("ran")) > 200, "jobs run", 60)
    own_redis_server.kill()
    await until(lambda: not host.is_empty(), "jobs in the spool", 30)
    await asyncio.sleep(AWAY)  # the length of the outage is what is asked for
    deepest = host.contents()
    assert {one.queue for one in deepest.lanes} == {f"q{n}" for n in range(6)}
    await asyncio.to_thread(own_redis_server.start)
    await until(host.is_empty, "the spool is empty", 60)
    after = len(host.lines("accepted"))
    await until(lambda: len(host.lines("accepted")) > after + 200, "jobs go on", 60)
    host.stop_producers()
    for producer in producers:
        await until(lambda one=producer: one.poll() is not None, "producers end", 60)  # type: ignore[misc]
    assert [producer.returncode for producer in producers] == [0, 0, 0]
    await until(host.all_ran, "all jobs have run", 90)
    accepted = host.judge()
    records = await _records(host, own_redis_server)
    assert len(records) == len(accepted)
    slowest = max(float(line[3]) for line in accepted)
    figure(
        f"{len(accepted)} jobs of 6 producers, Redis away for {AWAY:g} s, {deepest.jobs} in the spool; 0 rejected, "
        f"0 lost, 0 twice, in order; the slowest enqueue took {slowest:.1f} s"
    )


@pytest.mark.timeout(120)
async def test_a_producer_killed_with_a_filled_spool_is_brought_home_by_the_next_process(
    host: Host, own_redis_server: RedisServer, figure: Callable[[str], None]
) -> None:
    own_redis_server.kill()
    producer = host.producer("async", "q0", SPOOL_TEST_PAUSE="0")
    await until(lambda: len(host.lines("accepted")) > 300, "jobs in the spool", 60)
    producer.kill()
    producer.wait()
    assert not host.is_empty()
    await asyncio.to_thread(own_redis_server.start)
    host.worker()
    await until(host.all_ran, "all jobs have run", 60)
    await until(host.is_empty, "the spool is empty")
    # One more may have been committed when its producer died: it was not told of it, and nothing was promised.
    host.judge(exact=False)
    unknown = {line[2] for line in host.lines("ran")} - {line[2] for line in host.lines("accepted")}
    assert len(unknown) <= 1
    figure(f"{len(host.lines('accepted'))} jobs of a killed producer were brought home in order")


@pytest.mark.timeout(240)
async def test_whoever_brings_jobs_home_may_be_killed_at_any_moment(
    host: Host, own_redis_server: RedisServer, figure: Callable[[str], None]
) -> None:
    rng = Random(5)
    own_redis_server.kill()
    producer = host.producer("async", "q0", SPOOL_TEST_PAUSE="0", SPOOL_TEST_COUNT="300")
    await until(lambda: producer.poll() is not None, "the spool is filled", 90)
    await asyncio.to_thread(own_redis_server.start)
    slow = "import headway.routing.failover.flushing as f; f.BATCH = 20; from headway.cli import main; main()"
    kills = 0
    while not host.is_empty():
        before = host.contents().flushed
        one = host.start("-c", slow, "spool", "flush", "--app", "tests.faults.spool_app:app")
        await until(
            lambda one=one, before=before: one.poll() is not None or host.contents().flushed > before,  # type: ignore[misc]
            "some are brought home",
            60,
        )
        await asyncio.sleep(rng.uniform(0, 0.03))
        if one.poll() is None and kills < 4:
            one.kill()
            kills += 1
        await until(lambda one=one: one.poll() is not None, "it ends", 60)  # type: ignore[misc]
    host.worker()
    await until(host.all_ran, "all jobs have run", 60)
    accepted = host.judge()
    assert len(accepted) == 300
    assert kills > 1
    figure(f"{kills} processes killed while they brought {len(accepted)} jobs home: each came once, in order")


@pytest.mark.timeout(150)
async def test_jobs_that_ran_before_their_answers_were_lost_do_not_run_again(
    host: Host, own_redis_server: RedisServer, figure: Callable[[str], None]
) -> None:
    async with TcpProxy(own_redis_server.port) as proxy:
        host.worker()  # it reaches the server itself
        url = f"redis://127.0.0.1:{proxy.port}/0"
        producers = [
            host.producer("async", "q0", HEADWAY_URL=url),
            host.producer("blocking", "q1", HEADWAY_URL=url),
        ]
        for _ in range(4):
            ran = len(host.lines("ran"))
            await until(lambda ran=ran: len(host.lines("ran")) > ran + 50, "jobs run", 60)  # type: ignore[misc]
            proxy.reset_after(0, Direction.TO_CLIENT)
            await proxy.wait_reset()
            await proxy.refuse()
            proxy.reset()
            await until(lambda: not host.is_empty(), "jobs in the spool", 30)
            await proxy.listen()
        host.stop_producers()
        for producer in producers:
            await until(lambda one=producer: one.poll() is not None, "producers end", 60)  # type: ignore[misc]
        await until(host.all_ran, "all jobs have run", 60)
        await until(host.is_empty, "the spool is empty", 60)
    accepted = host.judge()
    records = await _records(host, own_redis_server)
    assert {record.state for record in records} == {JobState.SUCCEEDED}
    assert len(records) == len(accepted)
    figure(
        f"{len(accepted)} jobs, 4 times the answer was lost behind the write: none ran twice, all in order"
    )
