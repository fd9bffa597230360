"""Waiting for the end of a job: nobody tells, so the guard is asked, less and less often."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.brokers.cloudtasks.inspect import Inspection
    from headway.job import JobId, JobRecord

_FIRST_S: Final = 0.05
_LONGEST_S: Final = 2.0  # a store that bills its commands is not asked more often for long
_GROWTH: Final = 1.3


async def finished(inspection: Inspection, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
    """Return the record when the job is terminal, or as it is when the time is over; None: unknown or gone."""
    loop = asyncio.get_running_loop()
    until = None if timeout_ms is None else loop.time() + timeout_ms / 1000
    pause = _FIRST_S
    while True:
        [record] = await inspection.get([job_id])
        if record is None or record.state.terminal:
            return record
        left = pause if until is None else min(pause, until - loop.time())
        if left <= 0:
            return record
        await asyncio.sleep(left)
        pause = min(pause * _GROWTH, _LONGEST_S)
