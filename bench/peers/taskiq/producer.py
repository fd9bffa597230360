"""taskiq's producer side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench.inside.producer import Producer
from bench.peers.taskiq import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence


class TaskiqProducer(Producer):
    """taskiq has no bulk call: its bulk is `kiq` from many tasks at once."""

    async def open(self) -> None:
        await tasks.broker.startup()
        self._kickers = {
            queue: tasks.job.kicker().with_labels(queue_name=queue) for queue in self.settings.queues
        }

    async def close(self) -> None:
        await tasks.broker.shutdown()

    async def one(self, number: int, text: str, queue: str) -> None:
        await self._kickers[queue].kiq(number, text)

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        left = iter(numbers)

        async def some() -> None:
            for number in left:
                await self.one(number, text, queue)

        await asyncio.gather(*(some() for _ in range(50)))

    async def result(self, number: int, text: str, queue: str) -> None:
        task = await tasks.result.kiq(number, text)
        await task.wait_result(check_interval=0.005, timeout=30)


ADAPTER = TaskiqProducer
