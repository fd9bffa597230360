"""Opening a carrier by its URL: the one place that names concrete drivers, each imported only when asked for."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.brokers.base import BrokerSettings, Carrier
    from headway.clock import Clock

_REDIS: Final = frozenset(
    {"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}
)
_SECRET_OPTION: Final = re.compile(r"(?i)([?&][^=&#]*(?:password|secret|token)[^=&#]*=)[^&#]*")


class _RedisDriver(Protocol):
    def from_url(self, url: str, settings: BrokerSettings, *, clock: Clock | None = None) -> Carrier: ...


def from_url(url: str, settings: BrokerSettings, *, clock: Clock | None = None) -> Carrier:
    """Return the carrier that the URL names, not opened yet.

    ConfigError when there is none of that scheme, or its extra is not installed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme == "sqlite":
        from headway.brokers.sqlite.broker import SqliteBroker  # noqa: PLC0415 - only when asked for

        return SqliteBroker(url, settings, clock=clock)
    if scheme in _REDIS:
        return _redis().from_url(url, settings, clock=clock)
    known = ", ".join(sorted({"sqlite", *_REDIS}))
    msg = f"carrier URL {redact(url)!r}: unknown scheme {scheme!r}; known are {known}"
    raise ConfigError(msg)


def _redis() -> _RedisDriver:
    try:
        import_module("redis.asyncio")
    except ImportError as error:
        msg = "the redis carrier needs the package redis: pip install 'headway[redis]'"
        raise ConfigError(msg) from error
    return cast("_RedisDriver", import_module("headway.brokers.redis.broker").RedisBroker)


def redact(url: str) -> str:
    """Return the URL with its password, and options that look like secrets, replaced by `***`; any text is fine."""
    head, separator, rest = url.partition("://")
    if not separator:
        return url
    # The last @ before the path ends the credentials: a password may itself hold one.
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    if "@" not in rest[:end] and "@" in rest:
        end = len(rest)  # an unquoted / in a password: rather hide too much
    authority, tail = rest[:end], rest[end:]
    credentials, at, host = authority.rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        authority = f"{user}{colon}{'***' if colon else ''}@{host}"
    shown = _SECRET_OPTION.sub(r"\1***", tail)
    return f"{head}://{authority}{shown}"
