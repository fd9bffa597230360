"""Celery's producer side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.inside.producer import BlockingProducer
from bench.peers.celery import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence


class CeleryProducer(BlockingProducer):
    """Celery has no bulk call on Redis; its bulk shares one producer, as its documentation advises."""

    async def open(self) -> None:
        tasks.app.connection_for_write().ensure_connection()

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.job.apply_async((number, text), queue=queue)

    def many_blocking(self, numbers: Sequence[int], text: str, queue: str) -> None:
        with tasks.app.producer_or_acquire() as producer:
            for number in numbers:
                tasks.job.apply_async((number, text), queue=queue, producer=producer)

    def later_blocking(self, number: int, text: str, queue: str, seconds: float) -> None:
        tasks.job.apply_async((number, text), queue=queue, countdown=max(0.0, seconds))

    def result_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.result.apply_async((number, text), queue=queue).get(timeout=30, interval=0.005)


ADAPTER = CeleryProducer
