"""Outcomes on their way to the carrier: in batches, repeated until each one is applied or superseded."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from headway.brokers.base import Settlement, SettleResult
from headway.errors import BrokerError, BrokerUnavailableError
from headway.job import Failed
from headway.runtime.failure import error_of, with_error
from headway.service import must_go_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.app.counting import Count
    from headway.brokers.base import PullBroker
    from headway.figures.gatherer import Times
    from headway.job import Delivery, Outcome
    from headway.service import Service

_log = logging.getLogger("headway.worker")
_MAX_BATCH: Final = 500  # outcomes in one call: the carrier stays within milliseconds


class Settler:
    """Settles outcomes. One call is under way at a time; outcomes that come meanwhile are sent together."""

    def __init__(
        self,
        broker: PullBroker,
        answered: Callable[[Sequence[Delivery]], None],
        loop: Service,
        count: Count | None = None,
    ) -> None:
        """`answered` is called with deliveries whose outcomes were applied or superseded, `count` with the result."""
        self._count = count
        self._times: list[Times] = []
        self._broker = broker
        self._loop = loop
        self._answered = answered
        self._deliveries: list[Delivery] = []
        self._items: list[Settlement] = []
        self._sending: asyncio.Task[None] | None = None
        self._flush_is_due = False

    def settle(self, delivery: Delivery, outcome: Outcome, times: Times = None) -> None:
        """Take an outcome; it leaves in the loop's next turn, or with the next batch while one is under way.

        `times`: when the attempt began and ended, by time.monotonic(); None: it never began.
        """
        self._deliveries.append(delivery)
        self._times.append(times)
        self._items.append(Settlement(delivery.lease, outcome))
        if self._sending is None and not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def finish(self) -> None:
        """Wait until all outcomes are settled."""
        while self._items or self._sending is not None:
            self._flush()
            if self._sending is not None:
                await asyncio.wait([self._sending])

    def _flush(self) -> None:
        self._flush_is_due = False
        if self._items and self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
            self._sending.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending = None
        if not task.cancelled() and task.exception() is not None:
            _log.critical("outcomes could not be settled; their jobs come back", exc_info=task.exception())
        self._flush()

    async def _send_all(self) -> None:
        while self._items:
            items, self._items = self._items[:_MAX_BATCH], self._items[_MAX_BATCH:]
            deliveries, self._deliveries = self._deliveries[:_MAX_BATCH], self._deliveries[_MAX_BATCH:]
            times, self._times = self._times[:_MAX_BATCH], self._times[_MAX_BATCH:]
            try:
                results = await self.send(items, deliveries)
                applied = [result.applied for result in results]
                if self._count is not None:
                    self._count(items, deliveries, times, applied)
                if applied.count(True) != len(items):
                    _log_superseded(items, results)
            finally:
                self._answered(deliveries)

    async def send(
        self, items: Sequence[Settlement], deliveries: Sequence[Delivery]
    ) -> Sequence[SettleResult]:
        """Settle these now, beside what is under way; repeated until the carrier has answered."""
        while True:
            try:
                results = await self._broker.settle(items)
            except BaseException as error:
                if must_go_on(error):
                    raise
                if len(items) > 1 and not isinstance(error, BrokerUnavailableError):
                    # One outcome may be the cause: the others are not to wait for it.
                    middle = len(items) // 2
                    first = await self.send(items[:middle], deliveries[:middle])
                    return [*first, *await self.send(items[middle:], deliveries[middle:])]
                # Nothing accepted is dropped: an outcome waits for its carrier. If that takes longer than the lease,
                # the jobs run again elsewhere and these outcomes are superseded.
                pause = self._loop.failed(error)
                if not isinstance(error, BrokerError):
                    return await self._settle_as_failed(items[0], deliveries[0], error)
                await self._loop.pause(pause)
            else:
                self._loop.went_well()
                return results

    async def _settle_as_failed(
        self, item: Settlement, delivery: Delivery, error: BaseException
    ) -> Sequence[SettleResult]:
        """End a job whose outcome cannot be written: it is done, and doing it again would give the same."""
        if isinstance(item.outcome, Failed) and not item.outcome.history:
            # Not even this was accepted: the job comes back when this worker has ended.
            return [SettleResult(item.lease.job_id, applied=False)]
        now_ms = time.time_ns() // 1_000_000
        history = (
            b""
            if isinstance(item.outcome, Failed)
            else with_error(delivery, error_of(delivery.attempt, now_ms, error))
        )
        return await self.send([Settlement(item.lease, Failed(history))], [delivery])


def _log_superseded(items: Sequence[Settlement], results: Sequence[SettleResult]) -> None:
    for item, result in zip(items, results, strict=True):
        if not result.applied:
            _log.warning(
                "job %s: outcome %s under epoch %d was superseded",
                item.lease.job_id,
                type(item.outcome).__name__,
                item.lease.epoch,
            )
