"""What the doctor wants to know of the server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from headway.brokers.redis.session import Session


class ServerInfo(Struct, frozen=True):
    """A server's settings and load; None where it does not tell. Sizes are bytes, durations milliseconds."""

    product: str  # "redis" or "valkey"
    version: str
    maxmemory_policy: str
    used_memory: int
    max_memory: int  # 0: no limit
    allocator: str  # "jemalloc-5.3.0", "libc"
    aof: bool
    rdb: bool | None  # whether snapshots are made on their own; None: CONFIG is not permitted
    connected_clients: int
    max_clients: int | None
    clock_skew_ms: float  # the server's clock minus ours
    latency_ms: float


async def server_info(session: Session) -> ServerInfo:
    """Ask the server."""
    text = (await session.command("INFO")).decode(errors="replace")
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    before = time.time()
    began = time.perf_counter()
    seconds, micros = await session.command("TIME")
    latency = time.perf_counter() - began
    skew = int(seconds) + int(micros) / 1e6 - (before + latency / 2)
    return ServerInfo(
        product="valkey" if "valkey_version" in values else "redis",
        version=values.get("valkey_version") or values.get("redis_version", ""),
        maxmemory_policy=values.get("maxmemory_policy", ""),
        used_memory=int(values.get("used_memory", 0)),
        max_memory=int(values.get("maxmemory", 0)),
        allocator=values.get("mem_allocator", ""),
        aof=values.get("aof_enabled") == "1",
        rdb=await _snapshots(session),
        connected_clients=int(values.get("connected_clients", 0)),
        max_clients=int(values["maxclients"]) if "maxclients" in values else None,
        clock_skew_ms=skew * 1000,
        latency_ms=latency * 1000,
    )


async def _snapshots(session: Session) -> bool | None:
    answer = await session.try_command("CONFIG", "GET", "save")
    return None if answer is None or len(answer) < 2 else bool(answer[1])  # noqa: PLR2004 - name and value
