"""potatoq's producer side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.inside.producer import BlockingProducer
from bench.peers.potatoq import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence


class PotatoqProducer(BlockingProducer):
    """Bulk is `app.publish` of many messages. Its asynchronous API is the blocking one in a thread."""

    async def one(self, number: int, text: str, queue: str) -> None:
        await tasks.job.aapply_async((number, text), queue=queue)

    async def one_of_many(self, number: int, text: str, queue: str) -> None:
        await self.one(number, text, queue)

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.job.apply_async((number, text), queue=queue)

    def many_blocking(self, numbers: Sequence[int], text: str, queue: str) -> None:
        tasks.app.publish([tasks.job.build_message([number, text], {}, queue=queue) for number in numbers])

    def later_blocking(self, number: int, text: str, queue: str, seconds: float) -> None:
        tasks.job.apply_async((number, text), queue=queue, countdown=max(0.0, seconds))

    def result_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.result.apply_async((number, text), queue=queue).get(timeout=30, interval=0.005)


ADAPTER = PotatoqProducer
