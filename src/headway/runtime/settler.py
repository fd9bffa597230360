"""Outcomes on their way to the carrier: in batches, repeated until each one is applied or superseded."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from headway.batching import Batcher
from headway.brokers.base import Settlement, SettleResult
from headway.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import PullBroker
    from headway.job import Lease, Outcome

_log = logging.getLogger("headway.worker")
_FIRST_PAUSE: Final = 0.05  # seconds; doubled up to the longest
_LONGEST_PAUSE: Final = 2.0  # a carrier that came back is used again soon


class Settler:
    """Settles outcomes. One call is under way at a time, so what ends meanwhile travels together."""

    def __init__(self, broker: PullBroker) -> None:
        self._broker = broker
        self._batcher: Batcher[Settlement, SettleResult] = Batcher(self._settle, limit=500, parallel=1)

    def settle(self, lease: Lease, outcome: Outcome) -> asyncio.Future[SettleResult]:
        """Take an outcome; the future tells whether it was applied or superseded."""
        return self._batcher.add(Settlement(lease, outcome))

    async def finish(self) -> None:
        """Wait until all outcomes are settled."""
        await self._batcher.finish()

    async def _settle(self, items: Sequence[Settlement]) -> list[SettleResult]:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._broker.settle(items)
            except BrokerError as error:
                # Nothing accepted is dropped: an outcome waits for its carrier. If that takes longer than the lease,
                # the jobs run again elsewhere and these outcomes are superseded.
                _log.warning(
                    "%d outcomes cannot be settled yet, again in %.2f s: %s", len(items), pause, error
                )
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, _LONGEST_PAUSE)
