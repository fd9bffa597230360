"""The doctor before real servers, well and not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headway.cli.root import cli
from tests.servers import RedisServer

if TYPE_CHECKING:
    from tests.servers import RedisCluster, RedisSentinel


def _doctor(url: str, *args: str) -> tuple[int, dict[str, str]]:
    result = CliRunner().invoke(cli, ["doctor", "--url", url, "--json", *args], prog_name="headway")
    return result.exit_code, {item["check"]: item["level"] for item in json.loads(result.stdout)["findings"]}


def test_a_well_kept_server_passes(redis_url: str, namespace: str) -> None:
    code, found = _doctor(redis_url, "--namespace", namespace)
    assert code == 0
    assert set(found.values()) == {"ok"}
    assert {"version", "maxmemory-policy", "persistence", "backlog"} <= found.keys()


def test_a_policy_that_drops_jobs_is_an_error(own_redis_server: RedisServer) -> None:
    own_redis_server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    code, found = _doctor(own_redis_server.url)
    assert (code, found["maxmemory-policy"]) == (1, "error")
    own_redis_server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert _doctor(own_redis_server.url)[0] == 0


def test_no_persistence_and_little_memory_are_warnings() -> None:
    with RedisServer(options={"save": '""'}) as server:
        used = int(server.info("memory")["used_memory"])
        server.call("CONFIG", "SET", "maxmemory", str(int(used * 1.15)))
        code, found = _doctor(server.url)
        assert (code, found["persistence"], found["memory"]) == (0, "warn", "warn")


def test_a_full_server_is_an_error(own_redis_server: RedisServer) -> None:
    own_redis_server.call("CONFIG", "SET", "maxmemory", "1mb")
    code, found = _doctor(own_redis_server.url)
    assert (code, found["memory"]) == (1, "error")


def test_it_leaves_nothing_in_the_server(own_redis_server: RedisServer) -> None:
    _doctor(own_redis_server.url)
    assert own_redis_server.call("DBSIZE") == 0


@pytest.mark.xdist_group("cluster")
def test_a_whole_cluster_is_well(redis_cluster: RedisCluster) -> None:
    code, found = _doctor(redis_cluster.url)
    assert (code, found["topology"]) == (0, "ok")


@pytest.mark.slow
def test_a_sentinel_group_is_well(redis_sentinel: RedisSentinel) -> None:
    code, found = _doctor(redis_sentinel.url)
    assert (code, found["topology"]) == (0, "ok")
