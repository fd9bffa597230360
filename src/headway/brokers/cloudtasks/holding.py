"""Who holds what makes jobs one of a kind: idempotency keys and fire times; unique keys are held by nobody here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headway.brokers.cloudtasks.api.names import task_id
from headway.guards.reservations import Holder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.cloudtasks.api.calls import Calls
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.brokers.cloudtasks.target import Target
    from headway.guards.guard import Guard
    from headway.job import JobId, NewJob


class Holding:
    """Asks the guard, and Cloud Tasks where that knows only of a reservation."""

    def __init__(self, api: Calls, target: Target, keeping: Keeping) -> None:
        self._api = api
        self._target = target
        self._keeping = keeping

    async def find_held(self, jobs: Sequence[NewJob]) -> list[JobId | None]:
        """Return for each job the one in its way.

        A reservation alone is no job: the process that made it may have died before the job was created.
        """
        found: list[JobId | None] = [None] * len(jobs)
        asked = [place for place, job in enumerate(jobs) if job.key is not None or job.fire is not None]
        if not asked:
            return found
        guard = await self._keeping.guard("asking who holds an idempotency key or a fire time")
        fires, keys = await asyncio.gather(
            guard.find_fires([jobs[place] for place in asked]),
            guard.reservations.find([jobs[place].key for place in asked]),
        )
        reserved: dict[int, list[Holder]] = {}
        for place, fired, holder in zip(asked, fires, keys, strict=True):
            job = jobs[place]
            if fired is not None and fired.confirmed:
                found[place] = fired.id
                continue
            pending = None if fired is None else Holder(fired.id, job.queue, job.priority)
            reserved[place] = [one for one in (pending, holder) if one is not None]
        there = await self._there(guard, [one for some in reserved.values() for one in some])
        for place, some in reserved.items():
            found[place] = next((one.id for one in some if one.id in there), None)
        return found

    async def _there(self, guard: Guard, holders: Sequence[Holder]) -> set[JobId]:
        """Return those that exist: they were delivered, or ended by hand, or wait in Cloud Tasks."""
        by_id = {holder.id: holder for holder in holders}
        ids = list(by_id)
        heard = dict(zip(ids, await guard.desk.heard(ids), strict=True))
        unheard = [by_id[job_id] for job_id, known in heard.items() if known is None]
        waiting = await asyncio.gather(*(self._waits(holder) for holder in unheard))
        found = {job_id for job_id, known in heard.items() if known}
        found |= {holder.id for holder, waits in zip(unheard, waiting, strict=True) if waits}
        return found

    async def _waits(self, holder: Holder) -> bool:
        queue_id = self._target.queue_id(holder.queue, holder.priority)
        first = task_id(self._target.namespace, holder.id, 0)
        return await self._api.get_task(queue_id, first) is not None
