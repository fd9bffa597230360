"""How many jobs each queue holds, by state: those of the guard, and those that wait in Cloud Tasks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from headway.brokers.base import JobQuery, QueueCounts
from headway.brokers.cloudtasks.api import names
from headway.brokers.cloudtasks.records import waiting_state
from headway.brokers.cloudtasks.target import HEADER_EXPIRES, HEADER_JOB
from headway.job import JobId, JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.cloudtasks.api.calls import Calls
    from headway.brokers.cloudtasks.api.resources import RemoteTask
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.brokers.cloudtasks.inspect import Inspection
    from headway.brokers.cloudtasks.target import Target
    from headway.brokers.cloudtasks.undelivered import Waiting
    from headway.clock import Clock
    from headway.guards.guard import Guard

_PAGE: Final = 1000
_KEPT_WAITING: Final = (JobState.SCHEDULED, JobState.READY)


class Counting:
    """Counts the jobs of an app."""

    def __init__(  # noqa: PLR0917 - each is a part of the carrier
        self,
        api: Calls,
        target: Target,
        waiting: Waiting,
        inspection: Inspection,
        keeping: Keeping,
        clock: Clock,
    ) -> None:
        self._api = api
        self._target = target
        self._waiting = waiting
        self._inspection = inspection
        self._keeping = keeping
        self._clock = clock

    async def counts(self, queues: Sequence[str] | None) -> list[QueueCounts]:
        """Count by state. Jobs that were never delivered are counted task by task, a thousand a call."""
        guard = await self._keeping.guard("counting jobs")
        counted = {queue: Counter(states) for queue, states in (await guard.desk.counts()).items()}
        await self._follow_the_clock(guard, counted)
        stopped = await self._inspection.paused()
        wanted = None if queues is None else set(queues)
        queue_ids = (
            [queue.id for queue in await self._waiting.queues()]
            if wanted is None
            else [queue_id for queue in wanted for queue_id in self._target.queue_ids(queue)]
        )
        oldest: dict[str, int] = {}
        for queue_id in queue_ids:
            await self._count(guard, queue_id, counted, oldest)
        shown = counted.keys() | stopped if wanted is None else wanted
        return [
            QueueCounts(queue, queue in stopped, dict(counted.get(queue, {})), oldest.get(queue))
            for queue in sorted(shown)
        ]

    async def _follow_the_clock(self, guard: Guard, counted: dict[str, Counter[JobState]]) -> None:
        """What the guard keeps as scheduled may be due by now, or overdue; it hears of it at the delivery."""
        kept = {
            queue: states[JobState.SCHEDULED] + states[JobState.READY] for queue, states in counted.items()
        }
        if not any(kept.values()):
            return
        seen: dict[str, Counter[JobState]] = {}
        after: str | None = None
        while True:
            page = await guard.desk.page(JobQuery(states=_KEPT_WAITING), after=after, limit=_PAGE)
            for job in page.jobs:
                seen.setdefault(job.queue, Counter())[job.state] += 1
            after = page.cursor
            if after is None:
                break
        for queue, number in kept.items():
            states = seen.get(queue, Counter())
            for state in _KEPT_WAITING:
                counted[queue][state] = states[state]
            counted[queue][JobState.EXPIRED] += max(0, number - states.total())

    async def _count(
        self,
        guard: Guard,
        queue_id: str,
        counted: dict[str, Counter[JobState]],
        oldest: dict[str, int],
    ) -> None:
        now = self._clock.now_ms()
        token = ""
        while True:
            tasks, token = await self._api.list_tasks(queue_id, full=False, size=_PAGE, token=token)
            name = self._waiting.queue_name(queue_id, tasks)
            if name is not None:
                for task in await self._never_delivered(guard, tasks):
                    expires = task.headers.get(HEADER_EXPIRES.lower(), "")
                    state = waiting_state(task, int(expires) if expires.isdecimal() else None, now)
                    counted.setdefault(name, Counter())[state] += 1
                    if state is JobState.READY:
                        oldest[name] = min(task.due_ms, oldest.get(name, task.due_ms))
            if not token:
                return

    async def _never_delivered(self, guard: Guard, tasks: Sequence[RemoteTask]) -> list[RemoteTask]:
        """Return the tasks whose jobs the guard knows nothing of, or has not counted."""
        own = [task for task in tasks if self._is_own(task)]
        heard = await guard.desk.known([JobId(task.headers[HEADER_JOB.lower()]) for task in own])
        return [task for task, is_known in zip(own, heard, strict=True) if not is_known]

    def _is_own(self, task: RemoteTask) -> bool:
        """Tell a task of the app that carries a job's first turn: its name is made of both."""
        job_id = task.headers.get(HEADER_JOB.lower(), "")
        return task.id == names.task_id(self._target.namespace, job_id, 0)
