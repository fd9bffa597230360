"""Waiting for a job's end, wherever it goes on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.job import JobId, JobRecord
    from headway.routing.carriers.sides import Sides

_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 1.0  # the move that took it was interrupted: somebody finishes it, or nobody does


async def wait_finished(sides: Sides, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
    """Wait where the job is; when it is moved meanwhile, go on waiting there, and so while it is on its way."""
    deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
    pause = _FIRST_PAUSE_S
    while True:
        where = await sides.records([job_id])
        if job_id not in where:
            return None
        name, record = where[job_id]
        left_ms = None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
        if record.state.terminal or (record.withdrawn and left_ms == 0):
            return record
        if record.withdrawn:
            await asyncio.sleep(pause if left_ms is None else min(pause, left_ms / 1000))
            pause = min(_LONGEST_PAUSE_S, pause * 2)
            continue
        pause = _FIRST_PAUSE_S
        ended = await sides[name].wait_finished(job_id, left_ms)
        if ended is not None and not ended.withdrawn:
            return ended  # it ended, or the time is over; else it was moved, or removed: the next look says
