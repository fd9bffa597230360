"""Waiting for the end of a job, which the thread that watches the file notices."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from headway.brokers.sqlite import inspect
from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from headway.brokers.sqlite.file.opening import Opened
    from headway.brokers.sqlite.file.renewal import Renewal
    from headway.job import JobId, JobRecord


async def finished(renewal: Renewal, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
    """Return the record once the job has ended, or as it is when the time is over; None: no such job."""
    deadline = None if timeout_ms is None else asyncio.get_running_loop().time() + timeout_ms / 1000
    opened = renewal.opened
    while True:
        try:
            return await _finished(opened, job_id, deadline)
        except BrokerUnavailableError:
            following = None
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    following = await renewal.successor(opened)
            if following is None:
                raise
            opened = following


async def _finished(opened: Opened, job_id: JobId, deadline: float | None) -> JobRecord | None:
    look = partial(inspect.get, ids=[job_id])
    # Listen first, then look: an end in between is not missed.
    with opened.listeners.waiting(job_id) as ended:
        (record,) = await opened.read(look)
        if record is None or record.state.terminal:
            return record
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await ended
    (record,) = await opened.read(look)
    return record
