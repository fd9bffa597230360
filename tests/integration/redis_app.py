"""An app on a Redis as the tests of the driver use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headway.brokers.base import BrokerSettings, QueueWant, Settlement
from headway.brokers.redis.broker import RedisBroker
from headway.job import NewJob, Succeeded, WorkerId, new_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import SettleResult
    from headway.job import Delivery

WORKER: Final = WorkerId("host-1-worker-1")
LEASE_MS: Final = 60_000


def broker(url: str, namespace: str, **settings: Any) -> RedisBroker:
    return RedisBroker.from_url(url, BrokerSettings(namespace=namespace, **settings))


def job(queue: str = "q", payload: bytes = b"{}", **fields: Any) -> NewJob:
    return NewJob(new_job_id(), "shop.pay", queue, payload, **fields)


async def claim(carrier: RedisBroker, limit: int = 10, worker: WorkerId = WORKER) -> list[Delivery]:
    wants = [QueueWant("q", limit)]
    return (await carrier.claim(wants, worker=worker, limit=limit, lease_ms=LEASE_MS)).deliveries


async def succeed(
    carrier: RedisBroker, deliveries: Sequence[Delivery], result: bytes = b"r"
) -> list[SettleResult]:
    return await carrier.settle([Settlement(one.lease, Succeeded(result)) for one in deliveries])
