"""RQ's producer side."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import redis
import rq

from bench.inside.producer import BlockingProducer
from bench.peers.rq import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence


class RqProducer(BlockingProducer):
    """Bulk is `enqueue_many`; jobs and results are not kept (`result_ttl=0`)."""

    async def open(self) -> None:
        connection = redis.Redis.from_url(self.settings.url)
        self._queues = {name: rq.Queue(name, connection=connection) for name in self.settings.queues}

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        self._queues[queue].enqueue(tasks.job, number, text, result_ttl=0, description="job")

    def many_blocking(self, numbers: Sequence[int], text: str, queue: str) -> None:
        self._queues[queue].enqueue_many(
            [
                rq.Queue.prepare_data(tasks.job, args=(number, text), result_ttl=0, description="job")
                for number in numbers
            ]
        )

    def result_blocking(self, number: int, text: str, queue: str) -> None:
        job = self._queues[queue].enqueue(tasks.result, number, text, description="result")
        while job.return_value(refresh=True) is None:
            time.sleep(0.005)


ADAPTER = RqProducer
