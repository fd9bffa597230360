"""huey's producer side."""

from __future__ import annotations

from bench.inside.producer import BlockingProducer
from bench.peers.huey import tasks


class HueyProducer(BlockingProducer):
    """huey has no bulk call."""

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.job(number, text)

    def later_blocking(self, number: int, text: str, queue: str, seconds: float) -> None:
        tasks.job.schedule(args=(number, text), delay=max(0.0, seconds))

    def result_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.result(number, text).get(blocking=True, timeout=30, backoff=1, max_delay=0.005)


ADAPTER = HueyProducer
