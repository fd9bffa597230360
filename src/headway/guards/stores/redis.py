"""Entries in a Redis that is reached by TCP."""

from __future__ import annotations

from headway.guards.scripted import ScriptedStore
from headway.storage.redis.tcp import TcpRedis


class RedisStore(ScriptedStore):
    """A GuardStore in the Redis of a `redis://` or `rediss://` URL; with persistence, it is as durable as that."""

    def __init__(self, url: str, *, namespace: str) -> None:
        """ConfigError names what is wrong with the URL."""
        super().__init__(TcpRedis(url), namespace)
