"""Headway's producer side."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bench.inside.producer import Producer
from bench.peers.headway import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway import Task


class HeadwayProducer(Producer):
    """Enqueues with the public API; bulk is `app.enqueue_many`."""

    def __init__(self) -> None:
        super().__init__()
        self._task: Task[[int, Any], Any] = tasks.app.find_task(self.settings.feature or "job")
        self._carried: Any = None  # what the loads' text stands for, once it was seen
        # Options are made once a queue, as an application would.
        self._calls = {queue: self._task.options(queue=queue) for queue in self.settings.queues}
        self._blocking = {queue: call.sync for queue, call in self._calls.items()}
        self._results = tasks.result.options(queue=self.queue)

    async def open(self) -> None:
        await tasks.app.open()

    async def close(self) -> None:
        await tasks.app.close()

    def _carries(self, text: Any) -> Any:  # noqa: ANN401 - a text, or the object of a test of payloads
        kind = tasks.CARRIED.get(self.settings.feature)
        if kind is None:
            return text
        if self._carried is None:
            self._carried = kind(**text)
        return self._carried

    async def one(self, number: int, text: str, queue: str) -> None:
        await self._calls[queue].enqueue(number, self._carries(text))

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        call, carried = self._calls[queue], self._carries(text)
        await tasks.app.enqueue_many(call.job(number, carried) for number in numbers)

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        self._blocking[queue].enqueue(number, text)

    async def later(self, number: int, text: str, queue: str, seconds: float) -> None:
        await self._task.options(queue=queue, delay=timedelta(seconds=max(0.0, seconds))).enqueue(
            number, text
        )

    async def many_later(
        self, numbers: Sequence[int], text: str, queue: str, seconds: Sequence[float]
    ) -> None:
        await tasks.app.enqueue_many(
            self._task.options(queue=queue, delay=timedelta(seconds=max(0.0, delay))).job(number, text)
            for number, delay in zip(numbers, seconds, strict=True)
        )

    async def result(self, number: int, text: str, queue: str) -> None:
        handle = await self._results.enqueue(number, text)
        if await handle.result(timeout=30) != number:
            msg = f"job {number} returned something else"
            raise RuntimeError(msg)


ADAPTER = HeadwayProducer
