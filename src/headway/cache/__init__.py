"""A cache and a rate limiter beside the jobs, in a Redis that is reached by TCP or by HTTP."""

from __future__ import annotations

from headway.cache.base import Allowed, Cache, Denied, Limiter

__all__ = ["Allowed", "Cache", "Denied", "Limiter"]
