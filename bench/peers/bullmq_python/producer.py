"""BullMQ's Python producer side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bullmq import Queue

from bench.inside.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Sequence


class BullProducer(Producer):
    """Jobs are removed when they are done, as on Node."""

    async def open(self) -> None:
        options = {"removeOnComplete": True, "removeOnFail": 1000}
        self._queues = {
            name: Queue(name, {"connection": self.settings.url, "defaultJobOptions": options})
            for name in self.settings.queues
        }

    async def close(self) -> None:
        for queue in self._queues.values():
            await queue.close()

    async def one(self, number: int, text: str, queue: str) -> None:
        await self._queues[queue].add("job", {"number": number, "text": text})

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        await self._queues[queue].addBulk(
            [{"name": "job", "data": {"number": number, "text": text}} for number in numbers]
        )

    async def many_later(
        self, numbers: Sequence[int], text: str, queue: str, seconds: Sequence[float]
    ) -> None:
        await self._queues[queue].addBulk(
            [
                {
                    "name": "job",
                    "data": {"number": number, "text": text},
                    "opts": {"delay": max(0, round(1000 * delay))},
                }
                for number, delay in zip(numbers, seconds, strict=True)
            ]
        )


ADAPTER = BullProducer
