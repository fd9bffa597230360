"""Fixtures of all tests. Servers are started when a test first asks for one, once for each pytest process."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.conformance import summary
from tests.faults import figures
from tests.servers import PostgresServer, RedisCluster, RedisSentinel, RedisServer, RestProxy, TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def pytest_configure() -> None:
    """A shell has its background jobs ignore Ctrl-C (`make test &`), and so do all that they start: not the commands."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the parts have counted and measured; here, because the controller of xdist reads no other conftest."""
    summary.pytest_terminal_summary(terminalreporter)
    figures.pytest_terminal_summary(terminalreporter)


@pytest.fixture
def namespace() -> str:
    """Name an app that no other test uses: tests share a server and never empty it."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Share one server with the other tests: use `namespace`, and don't kill it."""
    with RedisServer(appendonly=True) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Return the URL of the shared server, which runs; apps on it are told apart by `namespace`."""
    if not redis_server.running:
        pytest.fail("an earlier test ended the shared server: such tests start one of their own")
    return redis_server.url


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """Have a server that the test may kill, freeze and restart; it keeps its data."""
    with RedisServer(appendonly=True, options={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Share three primaries; mark the test with xdist_group("cluster"), so that one process starts them."""
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def redis_sentinel() -> Iterator[RedisSentinel]:
    """Have a primary, a replica and three Sentinels whose primary the test may kill."""
    with RedisSentinel() as sentinel:
        yield sentinel


@pytest.fixture
async def redis_proxy(redis_server: RedisServer) -> AsyncIterator[TcpProxy]:
    """Have a proxy before the shared server; its faults touch this test's connections only."""
    async with TcpProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def rest_proxy(redis_server: RedisServer) -> Iterator[RestProxy]:
    """Share the REST interface before the shared server; use `namespace`, and leave its faults as they were."""
    with RestProxy(redis_server) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Share one server with the other tests: use `namespace`, and don't kill it."""
    with PostgresServer() as server:
        yield server
