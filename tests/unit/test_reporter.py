"""Reports on their way: a job waits for its own, not for those of others."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from headway.brokers.base import SettleResult
from headway.clock import SystemClock
from headway.job import Lease, WorkerId, new_job_id
from headway.runtime.reporter import Reporter
from headway.service import Remarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import Report


class Carrier:
    """Answers a call when it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[Report]] = []
        self.go = asyncio.Semaphore(0)

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        self.calls.append(list(reports))
        await self.go.acquire()
        return [SettleResult(one.lease.job_id, True) for one in reports]


def lease() -> Lease:
    return Lease(new_job_id(), WorkerId("w"), 1)


async def test_a_job_waits_for_its_own_reports_only() -> None:
    carrier = Carrier()
    reporter = Reporter(carrier, SystemClock(), Remarks(logging.getLogger("headway.test"), "w"))
    first, second, silent = lease(), lease(), lease()
    reporter.progress(first, 0.5, "half")
    await asyncio.sleep(0)
    reporter.log(second, "info", "later")
    reporter.log(second, "info", "and later")
    assert (reporter.busy(first), reporter.busy(second), reporter.busy(silent)) == (True, True, False)
    waits = {one: asyncio.create_task(reporter.flush(one)) for one in (first, second, silent)}
    await waits[silent]
    carrier.go.release()
    await waits[first]
    assert not reporter.busy(first)
    assert not waits[second].done()
    carrier.go.release()
    await waits[second]
    assert not reporter.busy(second)
    assert [[report.lease for report in call] for call in carrier.calls] == [[first], [second, second]]
