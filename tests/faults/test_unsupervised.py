"""A worker inside a program of one's own, without a supervisor: it keeps its lease and its promises by itself."""

from __future__ import annotations

import asyncio

import pytest

from headway import Headway
from headway.job import JobState
from headway.runtime.worker import Worker

pytestmark = pytest.mark.timeout(60)
LEASE = 1.0


async def test_it_keeps_the_lease_of_a_job_longer_than_three_leases(url: str, namespace: str) -> None:
    """Another worker idles beside it, and gets nothing; when it is stopped, it hands back what it cannot finish."""
    app = Headway(namespace, url=url)
    runs: list[int] = []
    again = asyncio.Event()

    @app.task(name="long")
    async def long() -> None:
        runs.append(len(runs))
        await asyncio.sleep(3 * LEASE + 0.2)

    @app.task(name="endless")
    async def endless() -> None:
        if again.is_set():
            return
        again.set()
        await asyncio.sleep(600)

    async with app:
        first = Worker(app, concurrency=5, lease=LEASE, grace=0.1)
        running = asyncio.create_task(first.run())
        await first.ready.wait()
        job = await long.enqueue()
        unfinished = await endless.enqueue()
        await again.wait()
        other = Worker(app, concurrency=5, lease=LEASE, grace=0.1)
        beside = asyncio.create_task(other.run())
        try:
            await job.result(timeout=30)
            record = (await job.record()).raw
            assert (record.state, record.epoch, record.attempt) == (JobState.SUCCEEDED, 1, 1)
            assert runs == [0]
            first.stop()
            await running
            await unfinished.result(timeout=30)
            record = (await unfinished.record()).raw
            assert (record.epoch, record.attempt, record.crashes) == (2, 1, 0)
        finally:
            for worker, task in ((first, running), (other, beside)):
                worker.stop()
                await task
