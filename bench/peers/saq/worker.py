"""SAQ's worker side: one worker per queue in one process, as SAQ serves one queue a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio
import uvloop
from saq import Worker
from saq.queue.redis import RedisQueue

from bench.inside.recorder import SETTINGS, record, run


async def job(_: dict[str, Any], *, number: int, text: str) -> None:
    """The job of every test."""
    await run(number)


async def result(_: dict[str, Any], *, number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number


def connect() -> redis.asyncio.Redis:
    """Without the socket timeout (5 s) and the limit of 100 connections of redis-py 8: SAQ blocks on one a job."""
    return redis.asyncio.Redis.from_url(SETTINGS.url, socket_timeout=None, max_connections=10_000)


async def _serve() -> None:
    workers = [
        Worker(
            RedisQueue(connect(), name=queue, max_concurrent_ops=2 * SETTINGS.each),
            [job, result],
            concurrency=SETTINGS.each,
        )
        for queue in SETTINGS.queues
    ]
    await asyncio.gather(*(worker.start() for worker in workers))


if __name__ == "__main__":
    uvloop.run(_serve())
