"""Queues with limits of their own: a place that is freed while a claim is under way is not forgotten."""

from __future__ import annotations

import asyncio

import pytest

from headway import Headway
from headway.runtime.worker import Worker
from tests.faults.until import until


@pytest.mark.parametrize("attempt", range(4))  # whether a job ends just then is chance
async def test_full_queues_are_claimed_from_again(redis_url: str, namespace: str, attempt: int) -> None:
    queues = [f"q{attempt}{n}" for n in range(8)]
    app = Headway(namespace, url=redis_url, queue_concurrency=dict.fromkeys(queues, 1), queues=queues)
    ran: list[int] = []

    @app.task(name="quick", queue=queues[0])
    async def quick(number: int) -> None:
        ran.append(number)

    async with app:
        for number in range(120):
            await quick.options(queue=queues[number % 3]).enqueue(number)
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        await until(lambda: len(ran) == 120, "all have run", 20)
        worker.stop()
        await running
