"""BullMQ's Python worker side: one Worker a queue."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from bullmq import Worker

from bench.inside.recorder import SETTINGS, run


async def _process(job: Any, _: str) -> int | None:  # noqa: ANN401 - bullmq is not typed
    await run(job.data["number"])
    return int(job.data["number"]) if job.name == "result" else None


async def _serve() -> None:
    _workers = [
        Worker(queue, _process, {"connection": SETTINGS.url, "concurrency": SETTINGS.concurrency})
        for queue in SETTINGS.queues
    ]
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
