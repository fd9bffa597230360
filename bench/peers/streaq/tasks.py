"""streaq's worker side: one worker per queue in one process."""

from __future__ import annotations

import anyio
from streaq import Worker

from bench.inside.recorder import SETTINGS, record, run

workers = {
    queue: Worker(
        redis_url=SETTINGS.url,
        queue_name=queue,
        concurrency=SETTINGS.each,
        handle_signals=False,
    )
    for queue in SETTINGS.queues
}


async def _job(number: int, text: str) -> None:
    await run(number)


async def _result(number: int, text: str) -> int:
    record(number)
    return number


jobs = {queue: worker.task(name="job", silent=True, ttl=0)(_job) for queue, worker in workers.items()}
results = {queue: worker.task(name="result", silent=True)(_result) for queue, worker in workers.items()}


async def serve() -> None:
    """Run all workers."""
    async with anyio.create_task_group() as group:
        for worker in workers.values():
            group.start_soon(worker.run_async)


if __name__ == "__main__":
    anyio.run(serve, backend_options={"use_uvloop": True})
