"""The heart of a worker without a supervisor: a task on its own loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from headway.brokers.base import PullBroker
    from headway.job import Lease, WorkerId

_log = logging.getLogger("headway.worker")
BEATS_PER_LEASE: Final = 3  # two heartbeats may be lost before the lease is


async def keep_lease(
    broker: PullBroker,
    worker: WorkerId,
    lease_ms: int,
    *,
    holds: Callable[[], bool],
    running: Callable[[], Collection[Lease]],
    lost: Callable[[], None],
) -> None:
    """Beat for one worker until cancelled.

    A handler that blocks this loop stops the heart: run `headway worker` to avoid that.
    """
    while True:
        await asyncio.sleep(lease_ms / 1000 / BEATS_PER_LEASE)
        if not holds():
            continue
        before = set(running())
        try:
            (beat,) = await broker.heartbeat([worker], lease_ms)
        except BrokerError as error:
            _log.warning("worker %s: a heartbeat failed: %s", worker, error)
            continue
        # Between the call and its answer the last job may have been settled: then there was nothing to hold. What began
        # since has a lease of its own.
        if not beat.held and not before.isdisjoint(running()):
            lost()
