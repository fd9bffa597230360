"""The servers that the other tests stand on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import Direction, RedisCluster, RedisServer, ServerError, TcpProxy, free_port
from tests.servers.process import HOST, wait_until
from tests.servers.redis import find_binary
from tests.servers.resp import ReplyError

if TYPE_CHECKING:
    from tests.servers import RedisSentinel

PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"


def test_a_shared_server_answers(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_server.call("PING") == "PONG"
    assert redis_url == f"redis://127.0.0.1:{redis_server.port}/0"


def test_restart_and_kill_keep_data_and_port(own_redis_server: RedisServer) -> None:
    port, first_pid = own_redis_server.port, own_redis_server.pid
    own_redis_server.call("SET", "kept", "über")
    own_redis_server.restart()
    assert own_redis_server.call("GET", "kept") == "über"
    own_redis_server.call("SET", "written", "last")
    own_redis_server.kill()
    with pytest.raises(OSError, match="refused"):
        own_redis_server.call("PING")
    own_redis_server.start()
    assert own_redis_server.call("MGET", "kept", "written") == ["über", "last"]
    assert own_redis_server.port == port
    assert own_redis_server.pid != first_pid


def test_a_server_without_append_only_file_forgets() -> None:
    with RedisServer() as server:
        server.call("SET", "lost", 1)
        server.restart()
        assert server.call("GET", "lost") is None


def test_a_password_is_asked_for_and_not_shown() -> None:
    with RedisServer(password='s3cr"et/ü') as server:
        assert server.call("PING") == "PONG"
        assert server.url.startswith("redis://:s3cr%22et%2F%C3%BC@")
        assert "s3cr" not in repr(server)
        server.password = None
        with pytest.raises(ReplyError, match="NOAUTH"):
            server.call("PING")


def test_options_reach_the_server() -> None:
    with RedisServer(options={"maxmemory": "8mb", "maxmemory-policy": "allkeys-lru"}) as server:
        assert server.info("memory")["maxmemory_policy"] == "allkeys-lru"
        assert server.call("CONFIG", "GET", "maxmemory") == ["maxmemory", str(8 * 1024 * 1024)]


def test_a_server_that_cannot_start_shows_its_log() -> None:
    with (
        pytest.raises(ServerError, match=r"end of its log:(?s:.)*no-such-option"),
        RedisServer(options={"no-such-option": 1}),
    ):
        pytest.fail("it started")


def test_closing_removes_data_and_process() -> None:
    with RedisServer() as server:
        pid, folder = server.pid, server.folder
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_frozen_server_goes_on(own_redis_server: RedisServer) -> None:
    with own_redis_server.connect(timeout=0.2) as connection:
        own_redis_server.pause()
        with pytest.raises(TimeoutError):
            connection.call("PING")
    own_redis_server.resume()
    assert own_redis_server.call("PING") == "PONG"


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = "from tests.servers import RedisServer; s = RedisServer(); s.start(); print(s.pid, flush=True); input()"
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what a killed parent cannot remove, pytest does
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    wait_until(lambda: not _alive(pid), f"server {pid} ends after its parent")


def _alive(pid: int) -> bool:
    try:
        # Nobody reaps an orphan where process 1 is not an init: a zombie is dead enough.
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.xdist_group("cluster")
def test_all_nodes_of_a_cluster_serve_all_slots(redis_cluster: RedisCluster) -> None:
    assert redis_cluster.url == f"redis+cluster://127.0.0.1:{redis_cluster.primaries[0].port}"
    for node in redis_cluster.nodes:
        with node.connect() as connection:
            info = connection.info("CLUSTER", "INFO")
        assert info["cluster_state"] == "ok"
        assert info["cluster_slots_ok"] == "16384"
        assert info["cluster_size"] == "3"


@pytest.mark.xdist_group("cluster")
def test_a_replica_takes_over_from_a_killed_primary() -> None:
    with RedisCluster(replicas=1) as cluster:
        assert len(cluster.primary_ports()) == 3
        old = cluster.primaries[0]
        old.kill()
        wait_until(lambda: len(cluster.primary_ports()) == 3, "the replica is promoted")
        cluster.wait_ok()
        assert old.port not in cluster.primary_ports()


def test_sentinels_move_to_the_replica(redis_sentinel: RedisSentinel) -> None:
    assert redis_sentinel.url.count("127.0.0.1:") == 3
    assert redis_sentinel.url.endswith("/mymaster/0")
    old = redis_sentinel.primary
    old.call("SET", "before", 1)
    assert old.call("WAIT", 1, 5000) == 1
    assert redis_sentinel.kill_primary() is old
    new = redis_sentinel.wait_failover(old)
    assert new is not old
    assert new.call("GET", "before") == "1"
    assert new.call("SET", "after", 1) == "OK"


async def _ask(proxy: TcpProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(PING)
    await writer.drain()
    return reader, writer


async def _incr(proxy: TcpProxy, key: str) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(f"*2\r\n$4\r\nINCR\r\n${len(key)}\r\n{key}\r\n".encode())
    try:
        return await reader.readline()
    finally:
        writer.transport.abort()


async def test_a_proxy_forwards(redis_proxy: TcpProxy) -> None:
    redis_proxy.delay = 0.001
    reader, writer = await _ask(redis_proxy)
    assert await reader.readexactly(len(PONG)) == PONG
    assert (redis_proxy.accepted, redis_proxy.connections) == (1, 1)
    writer.close()
    await writer.wait_closed()


async def test_a_cut_before_the_write_leaves_no_trace(
    redis_proxy: TcpProxy, redis_server: RedisServer, namespace: str
) -> None:
    redis_proxy.reset_after(0, Direction.TO_SERVER)
    with pytest.raises(ConnectionResetError):
        await _incr(redis_proxy, namespace)
    await redis_proxy.wait_reset()
    assert redis_server.call("GET", namespace) is None


async def test_a_cut_after_the_write_hides_what_was_done(
    redis_proxy: TcpProxy, redis_server: RedisServer, namespace: str
) -> None:
    redis_proxy.reset_after(0, Direction.TO_CLIENT)
    with pytest.raises(ConnectionResetError):
        await _incr(redis_proxy, namespace)
    await redis_proxy.wait_reset()
    assert redis_server.call("GET", namespace) == "1"
    assert await _incr(redis_proxy, namespace) == b":2\r\n"  # it happens once


async def test_a_reset_after_some_bytes_lets_those_through(redis_proxy: TcpProxy) -> None:
    redis_proxy.reset_after(len(PONG), Direction.TO_CLIENT)
    reader, writer = await _ask(redis_proxy)
    assert await reader.readexactly(len(PONG)) == PONG
    writer.write(PING)
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.transport.abort()


async def test_a_hanging_proxy_keeps_the_connection(redis_proxy: TcpProxy) -> None:
    redis_proxy.hang()
    reader, writer = await _ask(redis_proxy)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.read(1)
    redis_proxy.flow()
    assert await reader.readexactly(len(PONG)) == PONG
    writer.transport.abort()


async def test_a_refusing_proxy_refuses_only_new_connections(redis_proxy: TcpProxy) -> None:
    reader, writer = await _ask(redis_proxy)
    assert await reader.readexactly(len(PONG)) == PONG
    await redis_proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await _ask(redis_proxy)
    writer.write(PING)
    assert await reader.readexactly(len(PONG)) == PONG
    await redis_proxy.listen()
    second, other = await _ask(redis_proxy)
    assert await second.readexactly(len(PONG)) == PONG
    redis_proxy.reset()
    with pytest.raises(ConnectionResetError):
        await second.readexactly(1)
    for each in (writer, other):
        each.transport.abort()


async def test_a_proxy_before_nothing_resets() -> None:
    async with TcpProxy(free_port()) as proxy:
        reader, _writer = await _ask(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


def test_a_free_port_is_free() -> None:
    port = free_port()
    with socket.socket() as probe:
        probe.bind((HOST, port))


def test_a_wrong_binary_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_REDIS_SERVER", "no-such-server")
    with pytest.raises(ServerError, match=r"HEADWAY_REDIS_SERVER names no-such-server"):
        find_binary.__wrapped__()
