"""SAQ's worker side: one worker per queue in one process, as SAQ serves one queue a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from saq import Queue, Worker

from bench.inside.recorder import SETTINGS, record, run


async def job(_: dict[str, Any], *, number: int, text: str) -> None:
    """The job of every test."""
    await run(number)


async def result(_: dict[str, Any], *, number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number


async def _serve() -> None:
    workers = [
        Worker(
            Queue.from_url(SETTINGS.url, name=queue, max_concurrent_ops=SETTINGS.concurrency),
            [job, result],
            concurrency=SETTINGS.concurrency,
        )
        for queue in SETTINGS.queues
    ]
    await asyncio.gather(*(worker.start() for worker in workers))


if __name__ == "__main__":
    uvloop.run(_serve())
