"""Where the server is: URLs, a Cluster that moves the slot, Sentinel that names another primary."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.redis.location import parse
from headway.brokers.redis.wire.connect import slot_of
from headway.errors import BrokerRefusedError, ConfigError
from headway.job import JobState
from tests.integration.redis_app import broker, claim, job, succeed
from tests.servers import RedisCluster, RedisSentinel, RedisServer

if TYPE_CHECKING:
    from headway.brokers.redis.location import Location


def _location(url: str) -> Location:
    return parse(url)


def test_a_plain_url() -> None:
    where = _location("redis://me:p%40ss@cache.local:7000/3")
    assert (where.addresses, where.db, where.username, where.password) == (
        (("cache.local", 7000),),
        3,
        "me",
        "p@ss",
    )
    assert where.name == "redis://cache.local:7000/3"
    assert "p@ss" not in repr(where)


def test_a_sentinel_url() -> None:
    where = _location("rediss+sentinel://:pw@s1:1,s2,[::1]:3/main/2?sentinel_password=x&ssl_cert_reqs=none")
    assert where.addresses == (("s1", 1), ("s2", 26379), ("::1", 3))
    assert (where.service, where.db, where.tls, where.sentinel_password) == ("main", 2, True, "x")
    assert where.tls_options == (("ssl_cert_reqs", "none"),)


@pytest.mark.parametrize(
    "url",
    [
        "http://x",
        "redis://a,b",
        "redis://a/x",
        "redis://a/0/1",
        "redis+cluster://a/1",
        "redis+sentinel://a",
        "redis://a?nope=1",
        "redis://a?ssl_ca_certs=x",
        "redis://a:b:c:d",
    ],
)
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        _location(url)


@pytest.mark.xdist_group("cluster")
async def test_a_slot_that_moves_is_followed(namespace: str) -> None:
    """The data is moved with it; calls wait meanwhile (ASK) and go on at the new owner (MOVED)."""
    with RedisCluster() as cluster:
        async with broker(cluster.url, namespace) as carrier:
            jobs = [job() for _ in range(10)]
            await carrier.enqueue(jobs)
            slot = slot_of(f"{{{namespace}}}".encode())
            ids = {node.port: str(node.call("CLUSTER", "MYID")) for node in cluster.nodes}
            source = next(
                node for node in cluster.nodes if int(str(node.call("CLUSTER", "COUNTKEYSINSLOT", slot)))
            )
            target = next(node for node in cluster.nodes if node is not source)
            target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
            source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
            waiting = asyncio.create_task(claim(carrier, 4))
            for key in _keys(source, slot):
                source.call("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
            assert not waiting.done()
            for node in (target, source, *cluster.nodes):
                node.call("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
            deliveries = await waiting
            assert [one.lease.job_id for one in deliveries] == [one.id for one in jobs[:4]]
            assert all(result.applied for result in await succeed(carrier, deliveries))
            assert len(await claim(carrier, 100)) == 6


@pytest.mark.slow
async def test_a_failover_is_followed(redis_sentinel: RedisSentinel, namespace: str) -> None:
    async with broker(redis_sentinel.url, namespace) as carrier:
        jobs = [job() for _ in range(10)]
        await carrier.enqueue(jobs)
        old = redis_sentinel.kill_primary()
        late = job()
        call = asyncio.create_task(carrier.enqueue([late]))
        await asyncio.to_thread(redis_sentinel.wait_failover, old)
        await call
        (record,) = await carrier.get([late.id])
        assert record is not None
        assert record.state is JobState.READY


async def test_a_replica_is_refused(own_redis_server: RedisServer, namespace: str) -> None:
    with RedisServer() as replica:
        replica.call("REPLICAOF", "127.0.0.1", own_redis_server.port)
        async with broker(replica.url, namespace) as carrier:
            with pytest.raises(BrokerRefusedError, match="read-only"):
                await carrier.enqueue([job()])


def _keys(node: RedisServer, slot: int) -> list[str]:
    keys = node.call("CLUSTER", "GETKEYSINSLOT", slot, 1000)
    assert isinstance(keys, list)
    return [str(key) for key in keys]
