"""Reads the jobs of a carrier page by page: when recording begins, when events were lost, and where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.base import JobQuery
from headway.job import JobState, is_job_id
from headway.records.describing import describe, describe_call, remember
from headway.records.feeds import Held, advance
from headway.records.known import Known, known, unfinished
from headway.records.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.job import JobRecord
    from headway.records.preparing import Preparing

PAGE: Final = 500
_DELIVERED: Final = (JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
"""States that a pushing carrier lists without asking who dispatches."""


class Sweeping:
    """Brings the records up to what a carrier has, as far as they differ."""

    def __init__(self, preparing: Preparing, held: Callable[[], Held], until: Callable[[], int]) -> None:
        """`held` returns the feed that is written for, `until` to when it is held behind each write."""
        self._preparing = preparing
        self._held = held
        self._until = until

    async def all(self) -> int:
        """Look at every job; return how many were written."""
        return await self._pages(JobQuery(), whole=True)

    async def latest(self) -> int:
        """Look at jobs that were delivered, the newest first, up to a page in which nothing is new."""
        return await self._pages(JobQuery(states=_DELIVERED), whole=False)

    async def begun(self) -> int:
        """Look at the jobs again that were running, or were to run again, when they were last looked at."""
        preparing = self._preparing
        async with preparing.store.reading() as connection:
            ids = await unfinished(connection, preparing.name, PAGE)
        return await self.these(await preparing.records(ids))

    async def these(self, records: Sequence[JobRecord]) -> int:
        """Write those of the jobs that differ from what is recorded; return how many."""
        sound = [one for one in records if is_job_id(one.id)]
        preparing = self._preparing
        async with preparing.store.reading() as connection:
            there = await known(connection, [one.id for one in sound])
        new = [one for one in sound if _differs(one, there.get(one.id), preparing.name)]
        if not new:
            return 0
        folding = preparing.folding()
        logs = await preparing.logs(new)
        for record in new:
            describe(folding, record, logs.get(record.id, ()))
            describe_call(folding, record, preparing.tasks)
            remember(folding, record)
            folding.accepted(folding.job(record.id), record.enqueued_ms)
        async with preparing.store.writing() as connection:
            held = self._held()
            await advance(connection, held, held.cursor, until_ms=self._until())
            await write(connection, folding.rows)
        return len(new)

    async def _pages(self, query: JobQuery, *, whole: bool) -> int:
        written = 0
        after: str | None = None
        while True:
            page = await self._preparing.carrier.list(query, after=after, limit=PAGE)
            new = await self.these(page.jobs)
            written += new
            after = page.cursor
            if after is None or (not whole and page.jobs and not new):
                return written


def _differs(record: JobRecord, there: Known | None, carrier: str) -> bool:
    if there is None:
        return True
    if there.carrier != carrier:
        return not record.withdrawn and record.epoch > there.epoch
    return not record.withdrawn and (
        record.state.value,
        record.epoch,
        record.attempt,
        record.finished_ms,
    ) != (
        there.state,
        there.epoch,
        there.attempt,
        there.finished_ms,
    )
