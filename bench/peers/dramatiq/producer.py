"""dramatiq's producer side."""

from __future__ import annotations

from bench.inside.producer import BlockingProducer
from bench.peers.dramatiq import tasks


class DramatiqProducer(BlockingProducer):
    """dramatiq has no bulk call."""

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.jobs[queue].send(number, text)

    def later_blocking(self, number: int, text: str, queue: str, seconds: float) -> None:
        tasks.jobs[queue].send_with_options(args=(number, text), delay=max(0, round(1000 * seconds)))

    def result_blocking(self, number: int, text: str, queue: str) -> None:
        tasks.result.send(number, text).get_result(block=True, timeout=30_000)


ADAPTER = DramatiqProducer
