"""Opening a carrier by its URL: the one place that names concrete drivers, each imported only when asked for."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol, cast

from headway.errors import ConfigError
from headway.text import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import BrokerSettings, Carrier, PushCarrier, Store
    from headway.clock import Clock

_SCHEME: Final = re.compile(r"(?i)[a-z][a-z+]{1,20}://")
_REDIS: Final = frozenset(
    {"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}
)


__all__ = ["from_url", "pulled", "pushed", "pushes", "redact"]


class _RedisDriver(Protocol):
    def from_url(self, url: str, settings: BrokerSettings, *, clock: Clock | None = None) -> Store: ...


def from_url(url: str, settings: BrokerSettings, *, clock: Clock | None = None) -> Store:
    """Return the carrier that the URL names, not opened yet.

    ConfigError when there is none of that scheme, or its extra is not installed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme == "sqlite":
        from headway.brokers.sqlite.broker import SqliteBroker  # noqa: PLC0415 - only when asked for

        return SqliteBroker(url, settings, clock=clock)
    if scheme in _REDIS:
        return _redis().from_url(url, settings, clock=clock)
    if scheme == "cloudtasks":
        return _cloudtasks()(url, settings, clock=clock)
    known = ", ".join(sorted({"sqlite", "cloudtasks", *_REDIS}))
    # The rest is not repeated: without a known scheme nobody can tell what in it is a secret.
    said = f"unknown scheme {scheme!r}" if _SCHEME.match(url) else "it must begin with a scheme and ://"
    msg = f"carrier URL: {said}; known are {known}"
    raise ConfigError(msg)


def _cloudtasks() -> Callable[..., Store]:
    try:
        # Looked for, not imported: that takes a third of a second, and many who open it do not need it at once.
        found = find_spec("google.cloud.tasks_v2")
    except ModuleNotFoundError:
        found = None
    if found is None:
        msg = "the cloudtasks carrier needs Google's client: pip install 'headway[gcp]'"
        raise ConfigError(msg)
    driver: Callable[..., Store] = import_module("headway.brokers.cloudtasks.broker").CloudTasksBroker
    return driver


def pushes(url: str) -> bool:
    """Tell by its URL whether a carrier pushes its jobs to a receiver; false where workers claim them."""
    return url.partition("://")[0].lower() == "cloudtasks"


def pulled(store: Store) -> Carrier:
    """Return the carrier as one with workers; ConfigError when it pushes its jobs."""
    able = store.capabilities
    if able.pull is None:
        msg = f"{able.name} pushes its jobs, no worker can claim them; run `headway push` instead"
        raise ConfigError(msg)
    return able.pull


def pushed(store: Store) -> PushCarrier:
    """Return the carrier as one that pushes; ConfigError when its jobs are claimed by workers."""
    able = store.capabilities
    if able.push is None:
        msg = f"{able.name} pushes no jobs to a receiver; run `headway worker` instead"
        raise ConfigError(msg)
    return able.push


def _redis() -> _RedisDriver:
    try:
        import_module("hiredis")
    except ImportError as error:
        msg = "the redis carrier needs the package hiredis: pip install 'headway[redis]'"
        raise ConfigError(msg) from error
    return cast("_RedisDriver", import_module("headway.brokers.redis.broker").RedisBroker)
