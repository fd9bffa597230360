"""Payloads for stubs, out of a Redis with jobs as BullMQ and Bull keep them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headway.migrate.node.sampling import sample
from tests.servers.resp import Connection

if TYPE_CHECKING:
    from tests.servers import RedisServer


def _put(redis: Connection, prefix: str, queue: str, name: str, numbers: range, data: Any) -> None:
    for n in numbers:
        job = f"{prefix}:{queue}:{n}"
        options = json.dumps({"attempts": 4, "backoff": {"type": "exponential", "delay": 1000}})
        redis.call(
            "HSET", job, "name", name, "data", json.dumps(data), "opts", options, "timestamp", "1700000000000"
        )
        redis.call("LPUSH", f"{prefix}:{queue}:wait", str(n))


@pytest.mark.parametrize("system", ["bullmq", "bull"])
async def test_some_payloads_of_each_name_are_read(
    system: str, redis_server: RedisServer, namespace: str
) -> None:
    prefix = f"{namespace}-{system}"
    with Connection(redis_server.port) as redis:
        if system == "bullmq":  # Bull writes no such hash: by it the two are told apart
            meta = f"{prefix}:email:meta"
            redis.call("HSET", meta, "opts.maxLenEvents", "10000", "version", "bullmq:5.81.0")
        redis.call("SET", f"{prefix}:email:id", "30")
        _put(redis, prefix, "email", "welcome", range(1, 21), {"userId": 7})
        _put(redis, prefix, "email", "digest", range(21, 26), {"ids": [1]})
    found = await sample(system, redis_server.url, prefix=prefix, most=10)
    assert found.queues == ["email"]
    assert found.payloads[("email", "welcome")] == [{"userId": 7}] * 10
    assert found.payloads[("email", "digest")] == [{"ids": [1]}] * 5
    assert found.attempts[("email", "welcome")].attempts_allowed == 4
