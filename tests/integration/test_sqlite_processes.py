"""The SQLite carrier between processes: who sees what, who wakes whom, and what a killed process leaves behind."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import BrokerSettings, QueueWant, Settlement, Wake
from headway.brokers.url import from_url, pulled
from headway.job import JobState, NewJob, Succeeded, WorkerId, new_job_id

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from headway.brokers.base import Carrier, Signal

    Spawn = Callable[..., Coroutine[None, None, Process]]

_DEADLINE_S = 30

_PRELUDE = """
import asyncio, sys
from headway.brokers.base import BrokerSettings, QueueWant, Settlement
from headway.brokers.url import from_url
from headway.job import JobId, NewJob, Succeeded, WorkerId, new_job_id
def job(queue="q"):
    return NewJob(new_job_id(), "shop.pay", queue, b"x")
async def main(broker):
{body}
async def run():
    async with from_url(sys.argv[1], BrokerSettings("app")) as broker:
        await main(broker)
asyncio.run(run())
"""

_OPEN_ON_REQUEST = """
import asyncio, sys
from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
async def run(url):
    async with from_url(url, BrokerSettings("app")):
        print("opened", flush=True)
while url := sys.stdin.readline().strip():
    asyncio.run(run(url))
"""

_ENQUEUE_FOREVER = """
    while True:
        batch = [job() for _ in range(10)]
        await broker.enqueue(batch)
        print(",".join(one.id for one in batch), flush=True)
"""

_ENQUEUE_ON_REQUEST = """
    print("ready", flush=True)
    while sys.stdin.readline():
        await broker.enqueue([job()])
"""

_WORK = """
    worker = WorkerId(sys.argv[2])
    await broker.enqueue([job() for _ in range(200)])
    while True:
        claimed = await broker.claim([QueueWant("q", 7)], worker=worker, limit=7, lease_ms=60_000)
        if not claimed.deliveries:
            break
        results = await broker.settle([Settlement(one.lease, Succeeded()) for one in claimed.deliveries])
        for one in results:
            print(one.job_id if one.applied else "superseded", flush=True)
"""

_CANCEL = """
    await broker.cancel([JobId(sys.argv[2])])
"""

_FINISH = """
    claimed = await broker.claim([QueueWant("q", 1)], worker=WorkerId("other"), limit=1, lease_ms=60_000)
    await broker.settle([Settlement(claimed.deliveries[0].lease, Succeeded(b"done elsewhere"))])
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'headway.db'}"


@pytest.fixture
async def carrier(url: str) -> AsyncIterator[Carrier]:
    async with from_url(url, BrokerSettings("app", record_events=True)) as broker:
        yield pulled(broker)


@pytest.fixture
async def spawn(url: str) -> AsyncIterator[Spawn]:
    started: list[Process] = []

    async def start(body: str, *arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PRELUDE.format(body=body),
            url,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _next(signals: AsyncIterator[Signal]) -> Signal:
    return await asyncio.wait_for(anext(signals), _DEADLINE_S)


async def test_workers_of_several_processes_complete_each_job_once(spawn: Spawn, carrier: Carrier) -> None:
    workers = [await spawn(_WORK, f"w{number}") for number in range(3)]
    outputs = await asyncio.gather(*(process.communicate() for process in workers))
    assert [process.returncode for process in workers] == [0, 0, 0]
    completed = Counter(line for output, _ in outputs for line in output.decode().split())
    assert len(completed) == 600
    assert set(completed.values()) == {1}
    [counts] = await carrier.counts()
    assert counts.counts == {JobState.SUCCEEDED: 600}


async def test_an_enqueue_in_another_process_wakes_an_idle_worker(spawn: Spawn, carrier: Carrier) -> None:
    process = await spawn(_ENQUEUE_ON_REQUEST)
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    worker = WorkerId("w")
    signals = carrier.signals(worker)
    assert await _next(signals) == Wake()
    for _ in range(3):
        assert not (
            await carrier.claim([QueueWant("q", 9)], worker=worker, limit=9, lease_ms=60_000)
        ).deliveries
        process.stdin.write(b"one\n")
        assert await _next(signals) == Wake()
        [delivery] = (
            await carrier.claim([QueueWant("q", 9)], worker=worker, limit=9, lease_ms=60_000)
        ).deliveries
        await carrier.settle([Settlement(delivery.lease, Succeeded())])
    process.stdin.close()
    assert await process.wait() == 0


async def test_a_cancellation_in_another_process_reaches_the_worker(spawn: Spawn, carrier: Carrier) -> None:
    worker = WorkerId("w")
    job = NewJob(new_job_id(), "shop.pay", "q", b"x")
    signals = carrier.signals(worker)
    assert await _next(signals) == Wake()
    await carrier.enqueue([job])
    await carrier.claim([QueueWant("q", 1)], worker=worker, limit=1, lease_ms=60_000)
    await spawn(_CANCEL, job.id)
    signal = await _next(signals)
    assert getattr(signal, "job_id", None) == job.id


async def test_the_end_of_a_job_in_another_process_ends_the_waiting(spawn: Spawn, carrier: Carrier) -> None:
    job = NewJob(new_job_id(), "shop.pay", "q", b"x")
    await carrier.enqueue([job])
    waiting = asyncio.create_task(carrier.wait_finished(job.id, _DEADLINE_S * 1000))
    await spawn(_FINISH)
    record = await waiting
    assert record is not None
    assert (record.state, record.result) == (JobState.SUCCEEDED, b"done elsewhere")


async def test_a_killed_process_leaves_whole_calls_only(spawn: Spawn, carrier: Carrier) -> None:
    process = await spawn(_ENQUEUE_FOREVER)
    assert process.stdout is not None
    accepted: list[str] = []
    for _ in range(50):
        accepted += (await process.stdout.readline()).decode().strip().split(",")
    process.kill()
    accepted += [one for one in (await process.stdout.read()).decode().replace("\n", ",").split(",") if one]
    await process.wait()
    whole = [one for one in accepted if len(one) == 20]
    claimed = await carrier.claim(
        [QueueWant("q", 100_000)], worker=WorkerId("w"), limit=100_000, lease_ms=60_000
    )
    stored = {delivery.lease.job_id for delivery in claimed.deliveries}
    assert stored >= set(whole)
    assert len(stored) % 10 == 0


async def test_processes_that_create_the_file_at_once_all_succeed(spawn: Spawn, tmp_path: Path) -> None:
    processes = [await spawn("    await broker.enqueue([job()])") for _ in range(4)]
    assert [await process.wait() for process in processes] == [0, 0, 0, 0]
    async with from_url(f"sqlite:///{tmp_path / 'headway.db'}", BrokerSettings("app")) as broker:
        [counts] = await broker.counts()
        assert counts.counts == {JobState.READY: 4}


async def test_processes_that_create_the_same_file_at_once_all_succeed(tmp_path: Path) -> None:
    """The switch to WAL is not covered by SQLite's busy timeout, and a half-created file is no stranger's."""
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OPEN_ON_REQUEST, stdin=pipe, stdout=pipe, stderr=pipe
        )
        for _ in range(4)
    ]
    for number in range(20):
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"sqlite:///{tmp_path}/new{number}.db\n".encode())
        for process in processes:
            assert process.stdout is not None
            assert process.stderr is not None
            if await process.stdout.readline() != b"opened\n":
                pytest.fail((await process.stderr.read()).decode())
    for process in processes:
        await process.communicate(b"")  # which closes its stdin
        assert process.returncode == 0
