"""Waiting for what happens to jobs: their ends, their workers' signals, their events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from headway.brokers.base import CancelRequested, Wake
from headway.brokers.sqlite import inspect, streams
from headway.brokers.sqlite.listeners import signal_of
from headway.brokers.sqlite.watcher import SignalRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.brokers.base import Signal
    from headway.brokers.sqlite.opened import Opened
    from headway.events import Event
    from headway.job import JobId, JobRecord, WorkerId

_EVENTS_STEP: Final = 500
_RENEW_S: Final = streams.WATCH_MS / 3000


async def finished(opened: Opened, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
    """Return the record when the job is terminal, or as it is when the time is over; None: unknown or gone."""
    look = partial(inspect.get, ids=[job_id])
    # Listen first, then look: an end in between is not missed.
    with opened.listeners.waiting(job_id) as ended:
        (record,) = await opened.read(look)
        if record is None or record.state.terminal:
            return record
        with suppress(TimeoutError):
            await asyncio.wait_for(ended, None if timeout_ms is None else timeout_ms / 1000)
    (record,) = await opened.read(look)
    return record


async def signals(opened: Opened, worker: WorkerId) -> AsyncIterator[Signal]:
    """Yield a Wake, the cancellations asked for before, then what comes, until the carrier is closed."""
    with opened.listeners.mail(worker) as box:
        last = await opened.write(streams.last_signal)
        yield Wake()
        for job_id in await opened.read(partial(streams.cancellations, worker=worker)):
            yield CancelRequested(job_id)
        while (item := await box.get()) is not None:
            if not isinstance(item, SignalRow):
                yield item
            elif item.seq > last:
                yield signal_of(item)


async def events(opened: Opened, since: int | None, present: asyncio.Future[int]) -> AsyncIterator[Event]:
    """Yield events behind `since`, or behind the last one of when `present` was noted, until the carrier is closed."""
    last = await present
    number = last if since is None else since
    loop = asyncio.get_running_loop()
    renewed = loop.time()
    with opened.listeners.changes() as changed:
        while not opened.listeners.closed:
            changed.clear()
            found = await opened.read(partial(streams.events_since, since=number, limit=_EVENTS_STEP))
            for event in found:
                number = int(event.cursor)
                yield event
            if not found:
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _RENEW_S)
            if loop.time() - renewed > _RENEW_S and not opened.listeners.closed:
                renewed = loop.time()
                await opened.write(streams.watch)
