"""The URL of a Redis that carries jobs: one server, a Sentinel group or a Cluster, with or without TLS."""

from __future__ import annotations

from headway.storage.redis.location import Address, Location, parse

__all__ = ["Address", "Location", "parse"]
