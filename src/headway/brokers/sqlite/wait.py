"""Waiting for what happens to jobs: their ends, their workers' signals, their events."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from headway.brokers.base import CancelRequested, LeaseLost, Wake
from headway.brokers.sqlite import inspect, streams
from headway.brokers.sqlite.file.listeners import signal_of
from headway.brokers.sqlite.file.watcher import SignalRow
from headway.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headway.brokers.base import Signal
    from headway.brokers.sqlite.file.opening import Opened
    from headway.brokers.sqlite.file.renewal import Renewal
    from headway.events import Event
    from headway.job import JobId, JobRecord, WorkerId

_EVENTS_STEP: Final = 500
_RENEW_S: Final = streams.WATCH_MS / 3000


async def finished(renewal: Renewal, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
    """Return the record when the job is terminal, or as it is when the time is over; None: unknown or gone."""
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


async def signals(renewal: Renewal, opened: Opened, worker: WorkerId) -> AsyncGenerator[Signal]:
    """Yield a Wake, the cancellations asked for before, then what comes, until the carrier is closed.

    When the file was lost, what the worker held is not in the one that follows: a LeaseLost, and again a Wake.
    """
    current: Opened | None = opened
    while current is not None:
        try:
            async with aclosing(_signals(current, worker)) as found:
                async for signal in found:
                    yield signal
        except BrokerUnavailableError:
            if current.lost is None:
                raise
        loss, current = current.lost, await renewal.successor(current)
        if current is not None and loss is not None and loss.whole:
            yield LeaseLost()


async def _signals(opened: Opened, worker: WorkerId) -> AsyncGenerator[Signal]:
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


async def events(
    renewal: Renewal, opened: Opened, since: int | None, present: asyncio.Future[int]
) -> AsyncGenerator[Event]:
    """Yield events behind `since`, or behind the last one of when `present` was noted, until the carrier is closed.

    When the file was lost, those of the one that follows, from its opening on.
    """
    current: Opened | None = opened
    while current is not None:
        try:
            async with aclosing(_events(current, since, present)) as found:
                async for event in found:
                    yield event
        except BrokerUnavailableError:
            if current.lost is None:
                raise
        current = await renewal.successor(current)
        if current is not None:
            since, present = None, current.write(streams.watch)


async def _events(opened: Opened, since: int | None, present: asyncio.Future[int]) -> AsyncGenerator[Event]:
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
                    async with asyncio.timeout(_RENEW_S):  # before 3.12 `wait_for` may lose a cancellation
                        await changed.wait()
            if loop.time() - renewed > _RENEW_S and not opened.listeners.closed:
                renewed = loop.time()
                await opened.write(streams.watch)
