"""Waiting for a job's end, wherever it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headway.job import JobId, JobRecord
    from headway.routing.carriers.sides import Sides


async def wait_finished(sides: Sides, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
    """Wait where the job is; when it is moved meanwhile, go on waiting there."""
    deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
    tried: set[str] = set()
    while True:
        where = await sides.records([job_id])
        if job_id not in where:
            return None
        name, record = where[job_id]
        if record.state.terminal and (not record.withdrawn or name in tried):
            return record
        left = None if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
        ended = await sides[name].wait_finished(job_id, left)
        if ended is not None and not ended.withdrawn:
            return ended
        if left == 0:
            return ended or record
        tried.add(name)  # moved, or removed while it was waited for
