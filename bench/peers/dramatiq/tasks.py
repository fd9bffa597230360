"""dramatiq's worker side: `dramatiq bench.peers.dramatiq.tasks`."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.inside.recorder import SETTINGS, record, run_blocking

broker = RedisBroker(url=SETTINGS.url)
if SETTINGS.feature == "result":
    broker.add_middleware(Results(backend=RedisBackend(url=SETTINGS.url)))
dramatiq.set_broker(broker)


def _job(number: int, text: str) -> None:
    run_blocking(number)


def _result(number: int, text: str) -> int:
    record(number)
    return number


jobs = {queue: dramatiq.actor(_job, actor_name=f"job-{queue}", queue_name=queue) for queue in SETTINGS.queues}
if SETTINGS.feature == "result":
    result = dramatiq.actor(_result, actor_name="result", queue_name=SETTINGS.queues[0], store_results=True)
