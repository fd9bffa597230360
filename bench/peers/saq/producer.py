"""SAQ's producer side."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import redis.asyncio
from saq.queue.redis import RedisQueue

from bench.inside.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORGET = -1  # no record of a job once it is done


class SaqProducer(Producer):
    """SAQ has no bulk call: its bulk is `enqueue` from many tasks at once."""

    async def open(self) -> None:
        self._queues = {
            name: RedisQueue(
                redis.asyncio.Redis.from_url(self.settings.url, socket_timeout=None, max_connections=10_000),
                name=name,
                max_concurrent_ops=self.at_once,
            )
            for name in self.settings.queues
        }
        for queue in self._queues.values():
            await queue.connect()

    async def close(self) -> None:
        for queue in self._queues.values():
            await queue.disconnect()

    async def one(self, number: int, text: str, queue: str) -> None:
        await self._queues[queue].enqueue("job", number=number, text=text, ttl=_FORGET)

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        left = iter(numbers)

        async def some() -> None:
            for number in left:
                await self.one(number, text, queue)

        await asyncio.gather(*(some() for _ in range(50)))

    async def later(self, number: int, text: str, queue: str, seconds: float) -> None:
        # Whole seconds: SAQ's grain.
        due = math.ceil(time.time() + seconds)
        await self._queues[queue].enqueue("job", number=number, text=text, ttl=_FORGET, scheduled=due)

    async def result(self, number: int, text: str, queue: str) -> None:
        await self._queues[queue].apply("result", number=number, text=text, timeout=30, poll_interval=0.005)


ADAPTER = SaqProducer
