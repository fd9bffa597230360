"""Entries in a Redis that is reached by HTTP: nothing is connected between two jobs."""

from __future__ import annotations

from headway.guards.scripted import ScriptedStore
from headway.storage.redis.http import HttpRedis


class HttpRedisStore(ScriptedStore):
    """A GuardStore in the Redis of an `https://:TOKEN@host` or `upstash://:TOKEN@host` URL."""

    def __init__(self, url: str, *, namespace: str) -> None:
        """ConfigError names what is wrong with the URL."""
        super().__init__(HttpRedis(url), namespace)
