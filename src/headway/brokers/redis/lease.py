"""Leases of workers: extended by heartbeats, and taken back from dead workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.redis.session import Session
    from headway.job import JobId, WorkerId


async def heartbeat(session: Session, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
    """Extend leases."""
    if not workers:
        return []
    *held, _ = await session.run_timed("heartbeat", lease_ms, *workers)
    return [Heartbeat(worker, bool(one)) for worker, one in zip(workers, held, strict=True)]


async def surrender(session: Session, worker: WorkerId, started: Sequence[JobId] | None) -> int:
    """Take back what a dead worker holds."""
    count: int = await session.run("surrender", worker, int(started is None), *(started or ()))
    return count
