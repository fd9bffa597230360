"""The carrier of an app that has several: one in front, whose calls go where they belong.

It has no part in running jobs: workers serve each carrier by itself, so that an outage of one delays no other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from headway.brokers.base import CancelResult, Capabilities
from headway.routing.carriers.enqueue import Enqueueing
from headway.routing.carriers.events import events, events_end, events_kept
from headway.routing.carriers.inspect import Inspection
from headway.routing.carriers.made import MadeSchedules
from headway.routing.carriers.opening import Opening
from headway.routing.carriers.schedules import Schedules
from headway.routing.carriers.sides import Sides
from headway.routing.carriers.wait import wait_finished

if TYPE_CHECKING:
    import builtins  # in Inspector `list` is a method
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType

    from headway.brokers.base import (
        Enqueued,
        JobPage,
        JobQuery,
        LogLine,
        MadeSchedule,
        QueueCounts,
        ScheduleRecord,
        Store,
        WorkerRecord,
    )
    from headway.events import Event
    from headway.job import Fire, JobId, JobRecord, JobState, NewJob
    from headway.routing.carriers.enqueue import Answered
    from headway.routing.carriers.router import Router


class RoutedBroker:
    """Several carriers as one. They may not be shared with others: it opens and closes them."""

    def __init__(
        self, stores: Mapping[str, Store], router: Router, answered: Mapping[str, Answered] | None = None
    ) -> None:
        """`router` chooses among the names of `stores`; the first is that of jobs with no route.

        `answered` has by carrier what is told of the jobs that it was given, and its answers.
        """
        self.sides = Sides(stores)
        self.router = router
        self._enqueueing = Enqueueing(self.sides, router, answered or {})
        self._inspection = Inspection(self.sides)
        self._schedules = Schedules(self.sides)
        self._made = MadeSchedules(self.sides)
        self._opening = Opening(stores)
        self._capabilities = common(stores)

    @property
    def capabilities(self) -> Capabilities:
        """What all of them can do; what a single job may ask is judged by the carrier that it goes to."""
        return self._capabilities

    async def open(self) -> None:
        """Open all, also where some cannot be reached yet; when that fails, those that were opened are closed again."""
        try:
            await self._opening.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all, whatever one of them raises."""
        await self._opening.close()
        await self.router.close()
        told = await asyncio.gather(*(store.close() for store in self.sides.stores), return_exceptions=True)
        for error in told:
            if isinstance(error, BaseException):
                raise error

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept each job on the carrier that its route names; see `Enqueueing.enqueue`."""
        return await self._enqueueing.enqueue(jobs)

    async def enqueue_marked(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Do the same, and let the id of each job end in the mark of its carrier (see `mark_of`)."""
        return await self._enqueueing.enqueue(jobs, mark=True)

    async def met_before(self, jobs: Sequence[NewJob]) -> Mapping[int, Enqueued]:
        """Answer for those whose names an earlier route sent elsewhere, by their number; see `Enqueueing`."""
        return await self._enqueueing.met_before(jobs)

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> list[CancelResult]:
        """Cancel jobs where they are."""
        answers = await self.sides.act(ids, lambda store, some: _states(store, some, reason), None)
        return [CancelResult(one, state) for one, state in zip(ids, answers, strict=True)]

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait for the job's end, also when it is moved meanwhile."""
        return await wait_finished(self.sides, job_id, timeout_ms)

    async def remove(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Forget jobs that are not running."""
        return await self.sides.act(ids, lambda store, some: store.remove(some), unknown=False)

    async def retry(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Give completed jobs a new life on the carrier that has them."""
        return await self.sides.act(ids, lambda store, some: store.retry(some), unknown=False)

    async def promote(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Make scheduled jobs ready now."""
        return await self.sides.act(ids, lambda store, some: store.promote(some), unknown=False)

    # --- reading ------------------------------------------------------------------------------------------------

    async def get(self, ids: Sequence[JobId]) -> builtins.list[JobRecord | None]:
        """Return the records, in the order of the ids."""
        return await self._inspection.get(ids)

    async def logs(self, job_id: JobId) -> builtins.list[LogLine]:
        """Return the job's log, oldest line first."""
        return await self._inspection.logs(job_id)

    async def list(self, query: JobQuery, *, after: str | None = None, limit: int = 100) -> JobPage:
        """List matching jobs of all carriers."""
        return await self._inspection.list(query, after=after, limit=limit)

    async def counts(self, queues: Sequence[str] | None = None) -> builtins.list[QueueCounts]:
        """Count by state over all carriers."""
        return await self._inspection.counts(queues)

    async def workers(self) -> builtins.list[WorkerRecord]:
        """Return the workers of all carriers."""
        return await self._inspection.workers()

    async def events_end(self) -> str:
        """Return the cursor behind the last events of all carriers."""
        return await events_end(self.sides)

    async def events_kept(self, after: str) -> bool:
        """Tell whether every event behind this cursor is still kept, on all carriers."""
        return await events_kept(self.sides, after)

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yield the events of all carriers."""
        return events(self.sides, after)

    # --- queues -------------------------------------------------------------------------------------------------

    async def pause(self, queue: str) -> None:
        """Pause the queue on all carriers."""
        await self.sides.each(lambda store: store.pause(queue))

    async def resume(self, queue: str) -> None:
        """Resume the queue on all carriers."""
        await self.sides.each(lambda store: store.resume(queue))

    async def paused(self) -> frozenset[str]:
        """Return the queues that are paused on a carrier."""
        return frozenset[str]().union(*await self.sides.each(lambda store: store.paused()))

    async def drain(self, queue: str) -> int:
        """Remove all waiting jobs of the queue from all carriers; return how many."""
        return sum(await self.sides.each(lambda store: store.drain(queue)))

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """Remove completed jobs, one carrier after the other, at most `limit`; return how many."""
        removed = 0
        for store in self.sides.stores:
            if removed < limit:
                removed += await store.clean(
                    state, older_than_ms=older_than_ms, queue=queue, limit=limit - removed
                )
        return removed

    # --- schedules ----------------------------------------------------------------------------------------------

    async def declare_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Make these known on all carriers: a schedule's jobs may be moved from one to another."""
        await self._schedules.declare(schedules)

    async def schedules(self) -> builtins.list[ScheduleRecord]:
        """Return all, sorted by name."""
        return await self._schedules.read()

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """Pause or resume on all carriers; false when none knows it."""
        return any(await self.sides.each(lambda store: store.pause_schedule(name, paused=paused)))

    async def skip_fire(self, fire: Fire) -> None:
        """Mark the fire time as done on all carriers."""
        await self.sides.each(lambda store: store.skip_fire(fire))

    async def made_schedules(self) -> builtins.list[MadeSchedule]:
        """Return those made at run time; see `MadeSchedules`."""
        return await self._made.read()

    async def write_schedule(self, made: MadeSchedule, /, *, expected: int) -> bool:
        """Keep one on all carriers; see `MadeSchedules`."""
        return await self._made.write(made, expected)


async def _states(store: Store, ids: Sequence[JobId], reason: str) -> list[JobState | None]:
    return [answer.state for answer in await store.cancel(ids, reason)]


def common(stores: Mapping[str, Store]) -> Capabilities:
    """Return what all of the carriers can do."""
    all_of = [store.capabilities for store in stores.values()]
    delays = [one.max_delay_ms for one in all_of if one.max_delay_ms is not None]
    waits = [one.max_wait_ms for one in all_of if one.max_wait_ms is not None]
    return Capabilities(
        name=" + ".join(dict.fromkeys(one.name for one in all_of)),
        max_delay_ms=min(delays, default=None),
        max_wait_ms=min(waits, default=None),
        max_payload=min(one.max_payload for one in all_of),
        priority=all(one.priority for one in all_of),
        unique=all(one.unique for one in all_of),
        cancel_running=all(one.cancel_running for one in all_of),
        fifo=False,
        events=all(one.events for one in all_of),
        atomic=False,
        reuse_ids=all(one.reuse_ids for one in all_of),
        by_end=all(one.by_end for one in all_of),
        cap_succeeded=all(one.cap_succeeded for one in all_of),
        one_store=False,
    )
