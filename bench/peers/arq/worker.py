"""arq's worker side: one worker per queue in one process, as arq serves one queue a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker, func

from bench.inside.recorder import SETTINGS, record, run


async def job(_: dict[str, Any], number: int, text: str) -> None:
    """The job of every test."""
    await run(number)


async def result(_: dict[str, Any], number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number


async def _serve() -> None:
    workers = [
        Worker(
            functions=[func(job, keep_result=0), result],
            queue_name=queue,
            redis_settings=RedisSettings.from_dsn(SETTINGS.url),
            max_jobs=SETTINGS.each,
            poll_delay=0.01,
            log_results=False,
            handle_signals=False,
        )
        for queue in SETTINGS.queues
    ]
    await asyncio.gather(*(worker.main() for worker in workers))


if __name__ == "__main__":
    uvloop.run(_serve())
