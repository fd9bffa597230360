"""The heart of a worker without a supervisor: what it makes of a heartbeat that found no lease."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import pytest

from headway.brokers.base import Heartbeat
from headway.job import JobId, Lease, WorkerId
from headway.runtime.keeper import beat
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import PullBroker

WORKER = WorkerId("w")
OLD, NEW = (Lease(JobId(digit * 20), WORKER, 1) for digit in "01")


class Leaseless:
    """A carrier that holds no lease of the worker, and what happens before its first answer is read."""

    def __init__(self, running: set[Lease], then: set[Lease]) -> None:
        self.running = running
        self._then = then
        self.beats = 0
        self.lost_after = 0
        self.over = asyncio.Event()

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
        assert lease_ms == 3
        self.beats += 1
        self.running = self._then
        if self.beats == 3:  # what the second said has been heard
            self.over.set()
        return [Heartbeat(one, held=False) for one in workers]

    def lost(self) -> None:
        self.lost_after = self.lost_after or self.beats


@pytest.mark.parametrize(
    ("before", "after", "lost_after"),
    [
        ({OLD}, {OLD}, 1),
        ({OLD}, {OLD, NEW}, 1),
        ({OLD}, set[Lease](), 0),
        ({OLD}, {NEW}, 2),  # begun under a lease of its own; what the second answer says is meant for it
        (set[Lease](), {NEW}, 2),
    ],
)
async def test_a_lease_is_lost_only_for_what_ran_when_it_was_asked_for(
    before: set[Lease], after: set[Lease], lost_after: int
) -> None:
    carrier = Leaseless(before, after)
    services = Services(logging.getLogger("headway.test"), "worker w")

    async def play() -> float:
        return await beat(
            cast("PullBroker", carrier),
            WORKER,
            3,
            holds=True,
            running=lambda: carrier.running,
            lost=carrier.lost,
        )

    services.start("lease", play)
    async with asyncio.timeout(10):
        await carrier.over.wait()
    await services.stop()
    assert carrier.lost_after == lost_after
