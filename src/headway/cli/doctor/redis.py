"""The checks of a Redis: pure functions of what was seen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headway.cli.doctor.finding import Finding, error, ok, size, warn

if TYPE_CHECKING:
    from collections.abc import Callable

_OLDEST: Final = (6, 2)
_USED_SHARE: Final = 0.8  # of a limit: above it a burst may pass it
_LARGE: Final = 200 * 1024 * 1024  # bytes: below it the caches hold what a job touches
_SLOW_MS: Final = 5.0  # in one data centre a round trip takes below 1 ms
_SKEW_MS: Final = 1000.0  # delays and fire times are read by people in seconds


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """A cluster node or a Sentinel: None when it is well, else what it says."""

    address: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What was seen of a server. Sizes are bytes, durations milliseconds; None: it does not tell."""

    product: str = "redis"
    version: str = "7.4.0"
    policy: str = "noeviction"
    used_memory: int = 0
    max_memory: int = 0  # 0: no limit
    allocator: str = "jemalloc"
    aof: bool = True
    rdb: bool | None = True
    clients: int = 1
    max_clients: int | None = 10_000
    clock_skew_ms: float = 0.0  # the server's clock minus ours
    latency_ms: float = 0.2
    layout: str = "standalone"
    nodes: tuple[NodeHealth, ...] = ()  # of a cluster; the Sentinels of a Sentinel group


def check_version(facts: RedisFacts) -> Finding:
    """Functions and commands that the scripts use came with Redis 6.2."""
    found = re.match(r"(\d+)\.(\d+)", facts.version)
    shown = f"{facts.product} {facts.version or 'of an unknown version'}"
    if found is None:
        return warn("version", shown, "check by hand that it is Redis 6.2 or later, or Valkey")
    if (int(found[1]), int(found[2])) < _OLDEST:
        return error("version", f"{shown} is too old", "upgrade to Redis 6.2 or later, or Valkey")
    return ok("version", shown)


def check_policy(facts: RedisFacts) -> Finding:
    """Any other policy removes jobs, silently, when memory is full."""
    if facts.policy == "noeviction":
        return ok("maxmemory-policy", "noeviction")
    if not facts.policy:
        return warn("maxmemory-policy", "the server does not tell it", "make sure that it is noeviction")
    return error(
        "maxmemory-policy",
        f"{facts.policy}: when memory is full, Redis drops keys, and accepted jobs with them",
        "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf or the host's settings; "
        "a cache needs a Redis of its own",
    )


def check_persistence(facts: RedisFacts) -> Finding:
    """Without it a restart of the server loses every job."""
    if facts.aof:
        return ok("persistence", "append-only file is on")
    if facts.rdb:
        return warn(
            "persistence",
            "snapshots only: a crash loses the jobs accepted since the last one",
            "CONFIG SET appendonly yes, and the same in redis.conf (appendfsync everysec loses at most a second)",
        )
    if facts.rdb is None:
        return warn(
            "persistence",
            "no append-only file; whether snapshots are made, the server does not tell",
            "turn on the append-only file in the host's settings",
        )
    return warn(
        "persistence",
        "none: a restart of the server loses every job",
        "CONFIG SET appendonly yes, and the same in redis.conf",
    )


def check_clients(facts: RedisFacts) -> Finding:
    """Beyond the limit new connections are refused, of workers too."""
    if facts.max_clients is None:
        return ok("connections", f"{facts.clients} clients; the server does not tell its limit")
    shown = f"{facts.clients} of {facts.max_clients} clients"
    if facts.clients >= facts.max_clients * _USED_SHARE:
        return warn(
            "connections",
            f"{shown}: new ones will be refused soon",
            "raise maxclients, or find who keeps so many open (CLIENT LIST; Headway's are named headway:*)",
        )
    return ok("connections", shown)


def check_memory(facts: RedisFacts) -> Finding:
    """With noeviction a full Redis refuses new jobs."""
    used = size(facts.used_memory)
    if facts.max_memory == 0:
        return ok("memory", f"{used} used, no limit set")
    shown = f"{used} of {size(facts.max_memory)} used"
    if facts.used_memory >= facts.max_memory:
        return error(
            "memory", f"{shown}: new jobs are refused", "raise maxmemory, or clean completed jobs now"
        )
    if facts.used_memory >= facts.max_memory * _USED_SHARE:
        return warn("memory", shown, "raise maxmemory, shorten keep_succeeded, or clean completed jobs")
    return ok("memory", shown)


def check_latency(facts: RedisFacts) -> Finding:
    """Each claim and each settle is one round trip."""
    shown = f"{facts.latency_ms:.2f} ms a round trip (median of 20)"
    if facts.latency_ms > _SLOW_MS:
        return warn(
            "latency",
            shown,
            "run workers close to the server; look at SLOWLOG GET and at the host's CPU limit",
        )
    return ok("latency", shown)


def check_clock(facts: RedisFacts) -> Finding:
    """Delays are counted by the server's clock, `at` and fire times by the hosts'."""
    side = "ahead" if facts.clock_skew_ms > 0 else "behind"
    shown = f"the server's clock is {abs(facts.clock_skew_ms):.0f} ms {side}"
    if abs(facts.clock_skew_ms) > _SKEW_MS:
        return warn(
            "clock", shown, "run NTP on both hosts: delayed and scheduled jobs start early or late by this"
        )
    return ok("clock", shown)


def check_nodes(facts: RedisFacts) -> Finding:
    """A cluster or a Sentinel group that is not whole cannot fail over."""
    if facts.layout == "standalone":
        return ok("topology", "one server; it does not fail over by itself")
    kind = "cluster" if facts.layout == "cluster" else "Sentinel group"
    ill = [node for node in facts.nodes if node.problem is not None]
    if not ill:
        return ok("topology", f"{kind} of {len(facts.nodes)} well")
    said = "; ".join(f"{node.address}: {node.problem}" for node in ill)
    advice = "bring the named servers back, and look at their logs"
    if len(ill) == len(facts.nodes):
        return error("topology", f"{kind}: {said}", advice)
    return warn("topology", f"{kind}: {said}", advice)


def check_allocator(facts: RedisFacts) -> Finding:
    """With glibc's malloc the small pieces of a large backlog are scattered, and each job waits for the memory."""
    if not facts.allocator.startswith("libc") or facts.used_memory < _LARGE:
        return ok("allocator", facts.allocator or "the server does not tell it")
    return warn(
        "allocator",
        f"{facts.allocator}, with {size(facts.used_memory)} used: a backlog of a million is drained at 0.6 of the rate",
        "use a server built with jemalloc, or start this one with GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
    )


REDIS_CHECKS: Final[tuple[Callable[[RedisFacts], Finding], ...]] = (
    check_version,
    check_policy,
    check_persistence,
    check_memory,
    check_allocator,
    check_clients,
    check_latency,
    check_clock,
    check_nodes,
)
