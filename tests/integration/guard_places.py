"""Where the guard stores of the tests keep their entries: one place for each kind of store."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway.guards.url import from_url
from tests.servers import PostgresServer, RedisServer, RestProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import pytest

    from headway.guards.base import GuardStore

KINDS = ("sqlite", "redis", "http_redis", "postgres")
NETWORKED = KINDS[1:]


@dataclass
class Place:
    """A store's URL; `port` is that of the server, 0 when there is none."""

    kind: str
    url: str
    namespace: str
    port: int = 0

    def behind(self, port: int) -> Place:
        """The same, reached through a proxy."""
        return Place(self.kind, self.url.replace(f":{self.port}", f":{port}"), self.namespace, port)

    @asynccontextmanager
    async def open(self, namespace: str = "") -> AsyncIterator[GuardStore]:
        store = from_url(self.url, namespace=namespace or self.namespace)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def shared_place(kind: str, namespace: str, folder: Path, request: pytest.FixtureRequest) -> Place:
    """Return a place on a server that all tests share, which is started when the first asks for it."""
    match kind:
        case "sqlite":
            return Place(kind, f"sqlite:///{folder}/guard.db", namespace)
        case "redis":
            redis: RedisServer = request.getfixturevalue("redis_server")
            return Place(kind, redis.url, namespace, redis.port)
        case "http_redis":
            proxy: RestProxy = request.getfixturevalue("rest_proxy")
            return Place(kind, proxy.url, namespace, proxy.port)
        case _:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            return Place(kind, postgres.url, namespace, postgres.port)


@dataclass
class OwnPlace:
    """A place whose server the test may restart and kill."""

    place: Place
    restart: Callable[[], None]
    kill: Callable[[], None]


@asynccontextmanager
async def own_place(kind: str, namespace: str) -> AsyncIterator[OwnPlace]:
    if kind == "postgres":
        with PostgresServer() as postgres:
            place = Place(kind, postgres.url, namespace, postgres.port)
            yield OwnPlace(place, postgres.restart, postgres.kill)
        return
    with RedisServer(appendonly=True, options={"appendfsync": "always"}) as redis:
        if kind == "redis":
            yield OwnPlace(Place(kind, redis.url, namespace, redis.port), redis.restart, redis.kill)
            return
        with RestProxy(redis) as proxy:
            yield OwnPlace(Place(kind, proxy.url, namespace, proxy.port), redis.restart, redis.kill)
