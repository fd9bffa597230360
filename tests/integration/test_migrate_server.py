"""The Redis of a source, in each of its layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.errors import BrokerRefusedError, BrokerUnavailableError, ConfigError
from headway.migrate.server import SourceServer
from headway.storage.redis.server import Script
from tests.servers import RedisServer, free_port

if TYPE_CHECKING:
    from tests.servers import RedisCluster, RedisSentinel

# Its source and its digest belong together, as those of a file would.
_ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def _script() -> Script:
    import hashlib  # noqa: PLC0415 - here only

    return Script("add", _ADD, hashlib.sha1(_ADD.encode(), usedforsecurity=False).hexdigest())


async def _works(url: str, namespace: str) -> None:
    server = SourceServer(url)
    await server.open()
    try:
        keys = [f"{namespace}:{number}" for number in range(40)]
        for key in keys:
            assert await server.command("SET", key, 1)
        assert await server.run(_script(), [keys[0]], [5]) == 6
        assert await server.run(_script(), [keys[1]], [1]) == 2
        assert await server.command("GET", keys[0]) == b"6"
        found = {key async for key in server.scan(f"{namespace}:*")}
        assert found == set(keys)
        with pytest.raises(BrokerRefusedError, match="WRONGTYPE"):
            await server.command("LRANGE", keys[0], 0, -1)
    finally:
        await server.close()
    with pytest.raises(BrokerRefusedError, match="not open"):
        await server.command("PING")


async def test_one_server(redis_url: str, namespace: str) -> None:
    await _works(redis_url, namespace)


async def test_names_that_are_no_text_are_passed_over(redis_server: RedisServer, namespace: str) -> None:
    server = SourceServer(redis_server.url)
    await server.open()
    await server.command("SET", namespace.encode() + b"\xff", 1)
    await server.command("SET", namespace + "é", 1)
    assert [key async for key in server.scan(f"{namespace}*")] == [namespace + "é"]
    await server.close()


@pytest.mark.xdist_group("cluster")
async def test_a_cluster(redis_cluster: RedisCluster, namespace: str) -> None:
    await _works(redis_cluster.url, namespace)


async def test_sentinel(redis_sentinel: RedisSentinel, namespace: str) -> None:
    await _works(redis_sentinel.url, namespace)


async def test_a_password(namespace: str) -> None:
    with RedisServer(password="s3 cr/et") as locked:
        await _works(locked.url, namespace)
        wrong = SourceServer(f"redis://:wrong@127.0.0.1:{locked.port}")
        with pytest.raises(BrokerRefusedError, match="does not accept") as caught:
            await wrong.open()
    assert "wrong@" not in str(caught.value)


async def test_nobody_there() -> None:
    server = SourceServer(f"redis://:hidden@127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailableError) as caught:
        await server.open()
    assert "hidden" not in str(caught.value)


def test_a_wrong_url() -> None:
    with pytest.raises(ConfigError, match="scheme"):
        SourceServer("http://127.0.0.1")
