"""What is done to pushed jobs by hand, and what people see of them."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

from headway.brokers.base import JobPage, LogLine
from headway.guards import transitions
from headway.guards.document import from_entry, tombstone
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.base import JobQuery
    from headway.guards.base import GuardStore
    from headway.guards.changes import Changes
    from headway.guards.document import Document
    from headway.guards.transitions import PushedJob
    from headway.job import JobId, JobRecord, NewJob

_PAGE: Final = 500


class Desk:
    """Cancels, removes, retries, lists and counts the jobs that the guard knows."""

    def __init__(self, store: GuardStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    async def cancel(self, ids: Sequence[JobId], reason: str) -> list[JobState | None]:
        """Cancel the waiting ones that are known here, ask the holders of running ones; None: not known here."""
        return await asyncio.gather(*(self._cancel(job_id, reason) for job_id in ids))

    async def _cancel(self, job_id: JobId, reason: str) -> JobState | None:
        settled = await self._changes.change(
            job_id,
            lambda document: (
                None
                if document is None
                else transitions.cancel(document, reason, now_ms=self._changes.now_ms())
            ),
        )
        document = settled.document
        if document is None:
            return None
        if settled.applied:
            await self._changes.keep_key(document)
        record = self._changes.record(document)
        return None if record is None else record.state

    async def cancel_waiting(self, pushed: PushedJob, reason: str) -> JobState | None:
        """Cancel a job that was never delivered; return its state then. None: it was removed."""
        now = self._changes.now_ms()
        entry = self._changes.entry(transitions.cancel_unknown(pushed, reason, now_ms=now), 1)
        if await self._store.insert(entry, now_ms=now) is None:
            await self._changes.keep_key(from_entry(entry))
            return JobState.CANCELLED
        return await self._cancel(pushed.job.id, reason)

    async def remove(self, ids: Sequence[JobId]) -> list[bool]:
        """Forget those that are known here and do not run; late deliveries of them find a tombstone."""
        return await asyncio.gather(*(self._remove(job_id) for job_id in ids))

    async def _remove(self, job_id: JobId) -> bool:
        key: list[str | None] = []

        def step(document: Document | None) -> Document | None:
            key[:] = [None if document is None else document.key]
            return None if document is None else transitions.remove(document, now_ms=self._changes.now_ms())

        removed = (await self._changes.change(job_id, step)).applied
        if removed and key[0] is not None:
            await self._changes.reservations.free(key[0], job_id)
        return removed

    async def bury(self, job: NewJob) -> bool:
        """Leave a tombstone for a job that was never delivered; false: it has been meanwhile, or is gone already."""
        now = self._changes.now_ms()
        if await self._store.insert(self._changes.entry(tombstone(job.id), 1), now_ms=now) is not None:
            return await self._remove(job.id)
        if job.key is not None:
            await self._changes.reservations.free(job.key, job.id)
        return True

    async def retry(self, job_id: JobId) -> PushedJob | None:
        """Give a completed job a new life; return the turn whose task is to be made. None: it cannot be retried."""
        return await self._next_turn(job_id, transitions.retry)

    async def promote(self, job_id: JobId) -> PushedJob | None:
        """Make a scheduled retry ready; return the turn whose task is to be made. None: it is not scheduled here."""
        return await self._next_turn(job_id, transitions.promote)

    async def _next_turn(self, job_id: JobId, step: Callable[..., Document | None]) -> PushedJob | None:
        settled = await self._changes.change(
            job_id,
            lambda document: None if document is None else step(document, now_ms=self._changes.now_ms()),
        )
        if not settled.applied or settled.document is None:
            return None
        await self._changes.keep_key(settled.document)
        return settled.document.pushed

    async def records(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return the records of jobs that were delivered at least once, or ended before; None: not known here."""
        return [self._changes.record(document) for document in await self._changes.documents(ids)]

    async def known(self, ids: Sequence[JobId]) -> list[bool]:
        """Tell which jobs were heard of: delivered, ended by hand or removed."""
        return [
            document is not None and (document.removed or self._changes.record(document) is not None)
            for document in await self._changes.documents(ids)
        ]

    async def gone(self, ids: Sequence[JobId]) -> list[bool]:
        """Tell which are known to be removed: whatever the dispatcher still shows of them."""
        return [document is not None and document.removed for document in await self._changes.documents(ids)]

    async def logs(self, job_id: JobId) -> list[LogLine]:
        """Return the job's log, oldest line first."""
        [document] = await self._changes.documents([job_id])
        if document is None or document.removed:
            return []
        return [LogLine(line.at_ms, line.level, line.message) for line in document.log]

    async def page(self, query: JobQuery, *, after: str | None, limit: int) -> JobPage:
        """List matching jobs that are known here, the newest first."""
        jobs: list[JobRecord] = []
        # What waits may show as another state by now, so the store is not asked for waiting states one by one.
        tags = sorted({tag for state in query.states for tag in _KEPT_AS[state]}) if query.states else None
        while len(jobs) < limit:
            page = await self._store.page(
                groups=query.queues or None,
                tags=tags,
                after=after,
                limit=_PAGE,
                now_ms=self._changes.now_ms(),
            )
            for entry in page.entries:
                record = self._changes.record(self._changes.document_of(entry))
                if record is not None and matches(record, query):
                    jobs.append(record)
                    if len(jobs) == limit:
                        return JobPage(jobs, entry.key)
            after = page.cursor
            if after is None:
                return JobPage(jobs)
        return JobPage(jobs, after)

    async def counts(self) -> dict[str, dict[JobState, int]]:
        """Count the jobs that are known here, by queue and state."""
        counted: dict[str, dict[JobState, int]] = {}
        for (queue, tag), number in (await self._store.counts(now_ms=self._changes.now_ms())).items():
            if number and tag in _STATES:
                counted.setdefault(queue, {})[JobState(tag)] = number
        return counted

    async def clean(self, state: JobState, older_than_ms: int, queue: str | None, limit: int) -> int:
        """Remove completed jobs of a state that finished longer ago than that, the oldest first; return how many."""
        before = self._changes.now_ms() - older_than_ms
        old: list[tuple[int, JobId]] = []
        after: str | None = None
        while True:
            page = await self._store.page(
                groups=None if queue is None else [queue],
                tags=[str(state)],
                after=after,
                limit=_PAGE,
                now_ms=self._changes.now_ms(),
            )
            found = (self._changes.record(self._changes.document_of(entry)) for entry in page.entries)
            finished = ((job.finished_ms or 0, job.id) for job in found if job is not None)
            # Pages go by the time of enqueueing, which is another order than that of their ends.
            old = heapq.nsmallest(limit, [*old, *(one for one in finished if one[0] < before)])
            after = page.cursor
            if after is None:
                break
        done = 0
        for start in range(0, len(old), _PAGE):
            done += sum(await self.remove([job_id for _, job_id in old[start : start + _PAGE]]))
        return done

    async def prune(self) -> int:
        """Forget what is due to be forgotten."""
        return await self._store.prune(now_ms=self._changes.now_ms())


_STATES: Final = frozenset(map(str, JobState))
_WAITING: Final = (str(JobState.SCHEDULED), str(JobState.READY))
_KEPT_AS: Final[dict[JobState, tuple[str, ...]]] = {
    **{state: (str(state),) for state in JobState},
    JobState.READY: _WAITING,
    JobState.EXPIRED: (*_WAITING, str(JobState.EXPIRED)),
}


def matches(record: JobRecord, query: JobQuery) -> bool:
    """Tell whether all conditions of a query hold for a record."""
    if query.states and record.state not in query.states:
        return False
    if query.queues and record.queue not in query.queues:
        return False
    if query.task is not None and record.task != query.task:
        return False
    if not query.search:
        return True
    wanted = query.search.casefold()
    return any(wanted in text.casefold() for text in (record.id, record.task, record.key or ""))
