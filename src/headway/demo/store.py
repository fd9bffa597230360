"""Reading a whole run from its store."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, cast

from headway.brokers.base import JobQuery
from headway.errors import BrokerUnavailableError
from headway.job import JobState, NewJob, new_job_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headway.brokers.base import Store
    from headway.events import Event
    from headway.job import JobId, JobRecord

_PAGE: Final = 1000
_EVENT_SECONDS: Final = 20.0  # for the store to give all events; they are there already


class Journal:
    """The events between two marks: jobs that are enqueued where no worker looks, and removed again."""

    def __init__(self, carrier: Store, queue: str, payload: bytes) -> None:
        self._carrier = carrier
        self._queue = queue
        self._payload = payload
        self._start = ""

    async def begin(self) -> None:
        """Set the first mark."""
        async with aclosing(cast("AsyncGenerator[Event]", self._carrier.events())) as events:
            following = asyncio.ensure_future(anext(events))
            mark = await self._mark()
            async with asyncio.timeout(_EVENT_SECONDS):
                event = await following
                while event.job_id != mark:
                    event = await anext(events)
            self._start = event.cursor
        await self._carrier.remove([mark])

    async def read(self) -> list[Event]:
        """Set the last mark; return all events of other jobs up to it. BrokerUnavailableError if it never comes."""
        mark = await self._mark()
        found: list[Event] = []
        try:
            async with (
                asyncio.timeout(_EVENT_SECONDS),
                aclosing(cast("AsyncGenerator[Event]", self._carrier.events(self._start))) as events,
            ):
                async for event in events:
                    if event.job_id == mark:
                        break
                    if event.queue != self._queue:
                        found.append(event)
        except TimeoutError:
            msg = "the demo's own events did not come back from the store"
            raise BrokerUnavailableError(msg) from None
        await self._carrier.remove([mark])
        return found

    async def _mark(self) -> JobId:
        job = NewJob(new_job_id(), "mark", self._queue, self._payload)
        await self._carrier.enqueue([job])
        return job.id


async def all_records(carrier: Store) -> list[JobRecord]:
    """Return every job."""
    found: list[JobRecord] = []
    cursor: str | None = None
    while True:
        page = await carrier.list(JobQuery(), after=cursor, limit=_PAGE)
        found += page.jobs
        cursor = page.cursor
        if cursor is None:
            return found


async def count_states(carrier: Store) -> dict[JobState, int]:
    """Return how many jobs of all queues are in each state."""
    total = dict.fromkeys(JobState, 0)
    for queue in await carrier.counts():
        for state, count in queue.counts.items():
            total[state] += count
    return total
