"""taskiq's worker side: `taskiq worker bench.peers.taskiq.tasks:broker`."""

from __future__ import annotations

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.inside.recorder import SETTINGS, record, run

# One broker reads all queues: the first is its own, the others are additional streams.
broker = RedisStreamBroker(
    SETTINGS.url,
    queue_name=SETTINGS.queues[0],
    additional_streams=dict.fromkeys(SETTINGS.queues[1:], ">"),
)
if SETTINGS.feature == "result":
    broker = broker.with_result_backend(RedisAsyncResultBackend(SETTINGS.url, result_ex_time=600))


@broker.task(task_name="job")
async def job(number: int, text: str) -> None:
    """The job of every test."""
    await run(number)


@broker.task(task_name="result")
async def result(number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number
