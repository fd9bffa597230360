"""Opening a guard's store by its URL: the one place that names concrete stores, each imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.guards.base import GuardStore


class _Store(NamedTuple):
    module: str
    name: str
    needs: tuple[str, ...] = ()  # packages, and the extra that brings them
    extra: str = ""


_SQLITE: Final = _Store("sqlite", "SqliteStore")
_REDIS: Final = _Store("redis", "RedisStore", ("redis",), "redis")
_HTTP: Final = _Store("http_redis", "HttpRedisStore", ("upstash_redis", "httpx"), "upstash")
_POSTGRES: Final = _Store("postgres", "PostgresStore", ("psycopg",), "postgres")
_STORES: Final = {
    "sqlite": _SQLITE,
    "redis": _REDIS,
    "rediss": _REDIS,
    "redis+sentinel": _REDIS,  # refused there, with what to do
    "rediss+sentinel": _REDIS,
    "redis+cluster": _REDIS,
    "rediss+cluster": _REDIS,
    "https": _HTTP,
    "http": _HTTP,
    "upstash": _HTTP,
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
}


def from_url(url: str, *, namespace: str) -> GuardStore:
    """Return the store that the URL names, not opened yet.

    ConfigError when there is none of that scheme, or its extra is not installed.
    """
    scheme = url.partition("://")[0].lower()
    store = _STORES.get(scheme)
    if store is None or "://" not in url:
        # Without its scheme the text cannot be trusted to show no secret.
        known = "sqlite, redis, rediss, https, upstash, postgresql"
        msg = f"guard URL: it must begin with a known scheme and ://; known are {known}"
        raise ConfigError(msg)
    for package in store.needs:
        try:
            import_module(package)
        except ImportError as error:
            msg = f"a guard on {scheme}:// needs the package {package}: pip install 'headway[{store.extra}]'"
            raise ConfigError(msg) from error
    made = getattr(import_module(f"headway.guards.stores.{store.module}"), store.name)
    return cast("Callable[..., GuardStore]", made)(url, namespace=namespace)
