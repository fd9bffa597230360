"""Leases of deliveries: the guard keeps each by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import LeaseState
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.job import Lease


async def extend(keeping: Keeping, leases: Sequence[Lease], lease_ms: int) -> list[LeaseState]:
    """Extend leases that nobody took over."""
    guard = await keeping.guard("receiving jobs")
    return await guard.extend(leases, lease_ms)
