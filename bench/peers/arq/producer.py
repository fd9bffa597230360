"""arq's producer side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arq.connections import ArqRedis, RedisSettings, create_pool

from bench.inside.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Sequence

import asyncio


class ArqProducer(Producer):
    """arq has no bulk call: its bulk is `enqueue_job` from many tasks at once."""

    _pool: ArqRedis

    async def open(self) -> None:
        self._pool = await create_pool(RedisSettings.from_dsn(self.settings.url))

    async def close(self) -> None:
        await self._pool.aclose()

    async def one(self, number: int, text: str, queue: str) -> None:
        await self._pool.enqueue_job("job", number, text, _queue_name=queue)

    async def many(self, numbers: Sequence[int], text: str, queue: str) -> None:
        left = iter(numbers)

        async def some() -> None:
            for number in left:
                await self.one(number, text, queue)

        await asyncio.gather(*(some() for _ in range(50)))

    async def later(self, number: int, text: str, queue: str, seconds: float) -> None:
        await self._pool.enqueue_job("job", number, text, _queue_name=queue, _defer_by=max(0.0, seconds))

    async def result(self, number: int, text: str, queue: str) -> None:
        job: Any = await self._pool.enqueue_job("result", number, text, _queue_name=queue)
        await job.result(timeout=30, poll_delay=0.005)


ADAPTER = ArqProducer
