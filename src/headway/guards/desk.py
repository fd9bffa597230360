"""What is done to pushed jobs by hand, and what people see of them."""

from __future__ import annotations

import asyncio
import heapq
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import JobPage, LogLine
from headway.guards import acts
from headway.guards.document import PushedJob, fresh, tombstone
from headway.guards.transitions import WAITING
from headway.job import JobRecord, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.base import JobQuery
    from headway.guards.base import GuardStore
    from headway.guards.changes import Changes, Settled
    from headway.guards.document import Document
    from headway.job import JobId, NewJob, Past

_PAGE: Final = 500


class Acted(Struct, frozen=True):
    """What an act came to, and what it leaves to do with the dispatcher.

    `done`: it was done now. `state` is that of a job to be cancelled; None: it is not known here. The task of `next` is
    to be made, then that of `left` to be deleted: nothing else would keep it from coming.
    """

    done: bool
    state: JobState | None = None
    next: PushedJob | None = None
    left: PushedJob | None = None


class Withdrawn(Struct, frozen=True):
    """What came of a withdrawal: the record `before` it, None when the job stays; `left`: its task is to be deleted.

    Not `known`: the guard has never heard of the job.
    """

    known: bool
    before: JobRecord | None = None
    left: PushedJob | None = None


class Desk:
    """Cancels, removes, retries, lists and counts the jobs that the guard knows."""

    def __init__(self, store: GuardStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    async def cancel(self, ids: Sequence[JobId], reason: str) -> list[Acted]:
        """Cancel the waiting ones that are known here, ask the holders of running ones."""
        return await asyncio.gather(*(self._cancel(job_id, reason) for job_id in ids))

    async def _cancel(self, job_id: JobId, reason: str) -> Acted:
        settled = await self._change(job_id, partial(acts.cancel, reason=reason))
        document = settled.document
        record = self._changes.record(document)
        state = None if record is None else record.state
        if document is None or document.removed or document.state is not JobState.CANCELLED:
            return Acted(done=settled.applied, state=state)
        # Also when it was cancelled before: the deletion of its task may have failed then.
        await self._changes.keep_key(document)
        return Acted(done=settled.applied, state=state, left=document.pushed)

    async def cancel_waiting(self, pushed: PushedJob, reason: str) -> Acted:
        """Cancel a job that was never delivered."""
        now = self._changes.now_ms()
        document = acts.cancel_unknown(pushed, reason, now_ms=now)
        if await self._store.insert(self._changes.entry(document, 1), now_ms=now) is not None:
            return await self._cancel(pushed.job.id, reason)
        await self._changes.keep_key(document)
        return Acted(done=True, state=document.state, left=pushed)

    async def withdraw(self, ids: Sequence[JobId], reason: str) -> list[Withdrawn]:
        """End the waiting ones that are known here, and that are to go on elsewhere."""
        return await asyncio.gather(*(self._withdraw(job_id, reason) for job_id in ids))

    async def _withdraw(self, job_id: JobId, reason: str) -> Withdrawn:
        settled = await self._change(job_id, partial(acts.withdraw, reason=reason))
        document = settled.document
        if document is None or not document.withdrawn or document.reason != reason:
            return Withdrawn(known=document is not None)
        return await self._withdrawn(document)

    async def withdraw_waiting(self, pushed: PushedJob, reason: str) -> Withdrawn:
        """End one that was never delivered, and that is to go on elsewhere."""
        now = self._changes.now_ms()
        document = acts.withdraw(fresh(pushed, JobState.READY), reason, now_ms=now)
        if document is None:
            return Withdrawn(known=False)
        if await self._store.insert(self._changes.entry(document, 1), now_ms=now) is not None:
            return await self._withdraw(pushed.job.id, reason)
        return await self._withdrawn(document)

    async def _withdrawn(self, document: Document) -> Withdrawn:
        """Hold its key as long as its record, also of one that was withdrawn before: its process may have died then."""
        await self._changes.keep_key(document)
        before = self._changes.record(acts.before_withdrawal(document))
        return Withdrawn(known=True, before=before, left=document.pushed)

    async def admit(self, job: NewJob, past: Past) -> PushedJob | None:
        """Take in a job that comes from elsewhere; the turn whose task is to be made, None: it is here, or has gone."""
        settled = await self._changes.change(
            job.id,
            lambda document: acts.admit(document, job, past, now_ms=self._changes.now_ms()),
        )
        document = settled.document
        if document is None or document.removed or document.state not in WAITING:
            return None
        # Also when it was taken in before: that process may have died before the task was made.
        return document.pushed

    async def remove(self, ids: Sequence[JobId]) -> list[Acted]:
        """Forget those that are known here and do not run; late deliveries of them find a tombstone."""
        return await asyncio.gather(*(self._remove(job_id) for job_id in ids))

    async def _remove(self, job_id: JobId) -> Acted:
        settled = await self._change(job_id, acts.remove)
        if settled.applied and settled.before is not None and settled.before.key is not None:
            await self._changes.reservations.free(settled.before.key, job_id)
        document = settled.document
        # Of one that was removed before as well: the deletion of its task may have failed then.
        return Acted(
            done=settled.applied, left=document.pushed if document is not None and document.removed else None
        )

    async def bury(self, pushed: PushedJob) -> Acted:
        """Leave a tombstone for a job that was never delivered; not done: it runs by now, or is gone already."""
        now = self._changes.now_ms()
        job = pushed.job
        entry = self._changes.entry(tombstone(fresh(pushed, JobState.READY)), 1)
        if await self._store.insert(entry, now_ms=now) is not None:
            return await self._remove(job.id)
        if job.key is not None:
            await self._changes.reservations.free(job.key, job.id)
        return Acted(done=True, left=pushed)

    async def retry(self, job_id: JobId) -> Acted:
        """Give a completed job a new life."""
        return await self._next_turn(job_id, acts.retry)

    async def promote(self, job_id: JobId) -> Acted:
        """Make a scheduled retry ready."""
        return await self._next_turn(job_id, acts.promote)

    async def _next_turn(self, job_id: JobId, step: Callable[..., Document | None]) -> Acted:
        settled = await self._change(job_id, step)
        document = settled.document
        if document is None or document.removed or document.state not in WAITING:
            return Acted(done=False)
        if not settled.applied:
            # An earlier call may have failed between the guard and the dispatcher.
            return Acted(done=False, next=document.pushed)
        await self._changes.keep_key(document)
        left = settled.before
        return Acted(done=True, next=document.pushed, left=None if left is None else left.pushed)

    async def _change(self, job_id: JobId, step: Callable[..., Document | None]) -> Settled:
        return await self._changes.change(
            job_id,
            lambda document: None if document is None else step(document, now_ms=self._changes.now_ms()),
        )

    async def records(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return the records of jobs that were delivered at least once, or ended before; None: not known here."""
        return [self._changes.record(document) for document in await self._changes.documents(ids)]

    async def known(self, ids: Sequence[JobId]) -> list[bool]:
        """Tell which jobs were heard of: delivered, ended by hand or removed; their records may be gone by now."""
        return [document is not None for document in await self._changes.documents(ids)]

    async def heard(self, ids: Sequence[JobId]) -> list[bool | None]:
        """Tell which jobs were heard of and not removed; False: removed, None: never heard of."""
        return [
            None if document is None else not document.removed
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
            removed = await self.remove([job_id for _, job_id in old[start : start + _PAGE]])
            done += sum(one.done for one in removed)
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
    if query.tasks and record.task not in query.tasks:
        return False
    if not query.search:
        return True
    wanted = query.search.casefold()
    return any(wanted in text.casefold() for text in (record.id, record.task, record.key or ""))
