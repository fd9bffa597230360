"""Rounds that a carrier is asked in: the heartbeat of a worker without a supervisor, and a look at the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from headway.brokers.base import Carrier, PullBroker
    from headway.job import Lease, WorkerId

BEATS_PER_LEASE: Final = 3  # two heartbeats may be lost before the lease is
_CONNECTION_LOOK: Final = 1.0  # seconds; a look asks nobody


async def look_at_connection(carrier: Carrier) -> float:
    """Report an outage before the first call fails for it, and also while nothing is called."""
    connected = carrier.capabilities.connected
    if connected is not None and (trouble := connected.trouble):
        raise BrokerUnavailableError(trouble)
    return _CONNECTION_LOOK


async def beat(
    broker: PullBroker,
    worker: WorkerId,
    lease_ms: int,
    *,
    holds: bool,
    running: Callable[[], Collection[Lease]],
    lost: Callable[[], None],
) -> float:
    """Beat once for one worker that `holds` something; return the seconds until the next time.

    A handler that blocks this loop stops the heart: run `headway worker` to avoid that.
    """
    if holds:
        before = set(running())
        (answer,) = await broker.heartbeat([worker], lease_ms)
        # Between the call and its answer the last job may have been settled: then there was nothing to hold. What began
        # since has a lease of its own.
        if not answer.held and not before.isdisjoint(running()):
            lost()
    return lease_ms / 1000 / BEATS_PER_LEASE
