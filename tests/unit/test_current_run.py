"""Which job the running code belongs to: asked by logs, and by whoever looks for what blocks a loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.runtime.current import current_run
from headway.runtime.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path


def _job() -> str:
    run = current_run.get()
    return "" if run is None else run.delivery.lease.job_id


@pytest.mark.parametrize("way", ["coroutine", "child", "thread"])
async def test_code_of_a_job_knows_its_run(way: str, tmp_path: Path) -> None:
    app = Headway("current", url=f"sqlite:///{tmp_path}/jobs.db")

    @app.task(name="coroutine")
    async def coroutine() -> str:
        return _job()

    @app.task(name="child")
    async def child() -> str:
        async def inner() -> str:
            await asyncio.sleep(0)
            return _job()

        return await asyncio.create_task(inner())

    @app.task(name="thread")
    def thread() -> str:
        return _job()

    async with app:
        worker = Worker(app, concurrency=1)
        running = asyncio.create_task(worker.run())
        jobs = [await app.find_task(way).enqueue() for _ in range(3)]
        assert [await job.result(timeout=10) for job in jobs] == [job.id for job in jobs]
        worker.stop()
        await running
    assert current_run.get() is None
