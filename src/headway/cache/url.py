"""Opening the cache by its URL: by TCP, by HTTP or in memory, each imported only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headway.cache.limiter import RedisLimiter
from headway.cache.values import RedisCache
from headway.clock import SystemClock
from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.cache.base import Cache, Limiter
    from headway.clock import Clock
    from headway.storage.redis.server import RedisServer


class OpenCache(Protocol):
    """The cache and the limiter of one URL."""

    cache: Cache
    limiter: Limiter

    async def close(self) -> None:
        """Release every connection."""
        ...


class OpenRedisCache:
    """The cache and the limiter in one Redis; they share its connections."""

    def __init__(self, server: RedisServer, namespace: str, clock: Clock | None = None) -> None:
        """They connect with their first call. `clock` replaces the server's, for tests."""
        self._server = server
        self.cache: Cache = RedisCache(server, namespace)
        self.limiter: Limiter = RedisLimiter(server, namespace, clock)

    async def close(self) -> None:
        """Release every connection."""
        await self._server.close()


def from_url(url: str, *, namespace: str, clock: Clock | None = None) -> OpenCache:
    """Return what the URL names; ConfigError when there is none of that scheme, or its extra is not installed."""
    if url == "memory://":
        from headway.cache.memory import OpenMemoryCache  # noqa: PLC0415 - only when asked for

        return OpenMemoryCache(clock or SystemClock())
    return OpenRedisCache(_server(url), namespace, clock)


def _server(url: str) -> RedisServer:
    if not url:
        msg = "there is no cache: name a Redis in the setting cache (HEADWAY_CACHE), such as redis://host:6379/0"
        raise ConfigError(msg)
    scheme = url.partition("://")[0].lower()
    extra = "redis" if scheme.startswith("redis") else "upstash"
    try:
        if scheme.startswith("redis"):
            from headway.storage.redis.tcp import TcpRedis  # noqa: PLC0415 - only when asked for

            return TcpRedis(url)
        if scheme in {"https", "http", "upstash"}:
            from headway.storage.redis.http import HttpRedis  # noqa: PLC0415 - as above

            return HttpRedis(url)
    except ImportError as error:
        msg = f"a cache on {scheme}:// needs a package more: pip install 'headway[{extra}]'"
        raise ConfigError(msg) from error
    msg = "the setting cache must begin with redis://, rediss://, https:// or upstash://, or be memory:// in tests"
    raise ConfigError(msg)
