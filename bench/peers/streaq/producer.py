"""streaq's producer side."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bench.inside.producer import Producer
from bench.peers.streaq import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence


class StreaqProducer(Producer):
    """Bulk is `enqueue_many`."""

    async def open(self) -> None:
        self._stack = AsyncExitStack()
        for worker in tasks.workers.values():
            await self._stack.enter_async_context(worker)

    async def close(self) -> None:
        await self._stack.aclose()

    async def one(self, number: int, text: str, queue: str) -> None:
        await tasks.jobs[queue].enqueue(number, text)

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        job = tasks.jobs[queue]
        await tasks.workers[queue].enqueue_many([job.enqueue(number, text) for number in numbers])

    async def many_later(
        self, numbers: Sequence[int], text: str, queue: str, seconds: Sequence[float]
    ) -> None:
        # As times: `delay` takes whole seconds only in some places.
        job, now = tasks.jobs[queue], datetime.now(UTC)
        await tasks.workers[queue].enqueue_many(
            [
                job.enqueue(number, text).start(schedule=now + timedelta(seconds=max(0.0, delay)))
                for number, delay in zip(numbers, seconds, strict=True)
            ]
        )

    async def result(self, number: int, text: str, queue: str) -> None:
        task = await tasks.results[queue].enqueue(number, text)
        await task.result(timeout=30)


ADAPTER = StreaqProducer
