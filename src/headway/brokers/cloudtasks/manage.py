"""What is done to jobs by hand. The guard notes it first: a delivery that comes meanwhile sees it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headway.brokers.base import CancelResult, JobQuery
from headway.brokers.cloudtasks.inspect import never_delivered
from headway.errors import BrokerRefusedError
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from headway.brokers.cloudtasks.api.calls import Calls
    from headway.brokers.cloudtasks.enqueue import Enqueuer
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.brokers.cloudtasks.queue_names import QueueNames
    from headway.brokers.cloudtasks.records import WaitingJob
    from headway.brokers.cloudtasks.target import Target
    from headway.brokers.cloudtasks.undelivered import Waiting
    from headway.clock import Clock
    from headway.guards.desk import Acted
    from headway.guards.guard import Guard
    from headway.job import JobId

_PAGE: Final = 500
_KEPT_WAITING: Final = (JobState.SCHEDULED, JobState.READY, JobState.EXPIRED)


class Acts:
    """Cancel, remove, retry, promote, drain, clean, pause, resume."""

    def __init__(  # noqa: PLR0917 - each is a part of the carrier
        self,
        api: Calls,
        target: Target,
        waiting: Waiting,
        enqueuer: Enqueuer,
        names: QueueNames,
        keeping: Keeping,
        clock: Clock,
    ) -> None:
        self._api = api
        self._target = target
        self._waiting = waiting
        self._enqueuer = enqueuer
        self._names = names
        self._keeping = keeping
        self._clock = clock

    async def cancel(self, ids: Sequence[JobId], reason: str) -> list[CancelResult]:
        """Cancel waiting jobs; those that run hear of it when their lease is extended."""
        guard = await self._keeping.guard("cancelling a job")
        acted = dict(zip(ids, await guard.desk.cancel(ids, reason), strict=True))
        await self.leave(acted.values())
        states = {job_id: one.state for job_id, one in acted.items()}
        for job in await self.undelivered(
            guard, [job_id for job_id, state in states.items() if state is None]
        ):
            if job.state(self._clock.now_ms()) is JobState.EXPIRED:
                states[job.id] = JobState.EXPIRED
                continue
            one = await guard.desk.cancel_waiting(job.pushed, reason)
            states[job.id] = one.state
            await self.leave([one], job)
        return [CancelResult(job_id, states[job_id]) for job_id in ids]

    async def remove(self, ids: Sequence[JobId]) -> list[bool]:
        """Forget jobs that do not run."""
        guard = await self._keeping.guard("removing a job")
        unique = list(dict.fromkeys(ids))
        acted = await guard.desk.remove(unique)
        await self.leave(acted)
        removed = {job_id: one.done for job_id, one in zip(unique, acted, strict=True)}
        for job in await self.undelivered(guard, [job_id for job_id in unique if not removed[job_id]]):
            removed[job.id] = await self._bury(guard, job)
        return _once(ids, removed)

    async def retry(self, ids: Sequence[JobId]) -> list[bool]:
        """Give failed, cancelled or expired jobs a new life, by a task of their next turn."""
        guard = await self._keeping.guard("retrying a job")
        done: dict[JobId, bool] = {}
        for job_id in dict.fromkeys(ids):
            acted = await guard.desk.retry(job_id)
            if acted.next is None:
                acted = await self._retry_undelivered(guard, job_id) or acted
            done[job_id] = acted.done
            await self._go_on(acted)
        return _once(ids, done)

    async def promote(self, ids: Sequence[JobId]) -> list[bool]:
        """Make scheduled jobs ready: Cloud Tasks is told to dispatch them now, retries get a task of their own."""
        guard = await self._keeping.guard("promoting a job")
        done: dict[JobId, bool] = {}
        for job_id in dict.fromkeys(ids):
            acted = await guard.desk.promote(job_id)
            done[job_id] = acted.done
            await self._go_on(acted)
        for job in await self.undelivered(guard, [job_id for job_id, was in done.items() if not was]):
            if job.state(self._clock.now_ms()) is JobState.SCHEDULED:
                await self._api.run_task(job.task.queue_id, job.task.id)
                done[job.id] = True
        return _once(ids, done)

    async def drain(self, queue: str) -> int:
        """Remove all waiting jobs of the queue.

        Task by task: to purge a queue would delete the tasks of running jobs as well, which bring them back when their
        receiver dies.
        """
        guard = await self._keeping.guard("draining a queue")
        done = await self._drain_kept(guard, queue)
        for queue_id in self._target.queue_ids(queue):
            token = ""
            while True:
                found, token = await self._waiting.page(queue_id, _PAGE, token)
                undelivered = await never_delivered(guard, found)
                done += sum(await asyncio.gather(*(self._bury(guard, job) for job in undelivered)))
                if not token:
                    break
        return done

    async def clean(self, state: JobState, older_than_ms: int, queue: str | None, limit: int) -> int:
        """Remove completed jobs, those included that expired while they waited in Cloud Tasks."""
        guard = await self._keeping.guard("cleaning up")
        done = await guard.desk.clean(state, older_than_ms, queue, limit)
        if state is JobState.EXPIRED and done < limit:
            done += await self._clean_undelivered(guard, older_than_ms, queue, limit - done)
        return done

    async def pause(self, queue: str) -> None:
        """Pause the queue with all its bands, creating them if that is allowed; BrokerRefusedError if not."""
        await self._names.keep(queue)
        for queue_id in self._target.queue_ids(queue):
            if await self._api.pause_queue(queue_id):
                continue
            if not self._api.location.create_queues:
                msg = (
                    f"{self._api.location.name}: queue {queue!r} cannot be paused: there is no queue {queue_id!r}; "
                    "`headway gcp apply` creates the app's queues"
                )
                raise BrokerRefusedError(msg)
            await self._api.create_queue(queue_id)
            await self._api.pause_queue(queue_id)

    async def resume(self, queue: str) -> None:
        """Resume the queue with all its bands."""
        await asyncio.gather(*map(self._api.resume_queue, self._target.queue_ids(queue)))

    async def _clean_undelivered(
        self, guard: Guard, older_than_ms: int, queue: str | None, limit: int
    ) -> int:
        before = self._clock.now_ms() - older_than_ms
        queue_ids = (
            [found.id for found in await self._waiting.queues()]
            if queue is None
            else self._target.queue_ids(queue)
        )
        done = 0
        async for job in self._undelivered_in(guard, queue_ids):
            expires_ms = job.pushed.job.expires_ms
            if expires_ms is not None and expires_ms < before:
                done += await self._bury(guard, job)
                if done == limit:
                    break
        return done

    async def _undelivered_in(self, guard: Guard, queue_ids: Sequence[str]) -> AsyncIterator[WaitingJob]:
        """Yield the jobs of these queues that the guard knows nothing of; they may be deleted meanwhile."""
        for queue_id in queue_ids:
            token = ""
            while True:
                found, token = await self._waiting.page(queue_id, _PAGE, token)
                for job in await never_delivered(guard, found):
                    yield job
                if not token:
                    break

    async def _drain_kept(self, guard: Guard, queue: str) -> int:
        """Remove the retries and released jobs of the queue."""
        waiting: list[JobId] = []
        after: str | None = None
        while True:
            query = JobQuery(states=(JobState.SCHEDULED, JobState.READY), queues=(queue,))
            page = await guard.desk.page(query, after=after, limit=_PAGE)
            waiting += [job.id for job in page.jobs]
            after = page.cursor
            if after is None:
                break
        removed = await guard.desk.remove(waiting)
        await self.leave(removed)
        return sum(one.done for one in removed)

    async def _retry_undelivered(self, guard: Guard, job_id: JobId) -> Acted | None:
        """A job that expired before any delivery: the guard hears of it now, so that its old task finds it gone on."""
        for job in await self.undelivered(guard, [job_id]):
            if job.state(self._clock.now_ms()) is JobState.EXPIRED:
                await self.leave([await guard.desk.cancel_waiting(job.pushed, "expired")], job)
                return await guard.desk.retry(job_id)
        return None

    async def undelivered(self, guard: Guard, ids: Sequence[JobId]) -> list[WaitingJob]:
        """Return those of the jobs that the guard knows nothing of, and that wait in Cloud Tasks."""
        if not ids:
            return []
        heard = await guard.desk.known(ids)
        unknown = [job_id for job_id, is_known in zip(ids, heard, strict=True) if not is_known]
        return list((await self._waiting.find(unknown)).values())

    async def _bury(self, guard: Guard, job: WaitingJob) -> bool:
        acted = await guard.desk.bury(job.pushed)
        await self.leave([acted], job)
        return acted.done

    async def _go_on(self, acted: Acted) -> None:
        """Make the task of the turn that follows, then delete that of the turn that was left.

        An earlier call may have failed between the guard and Cloud Tasks: then the job waits for a task that nobody
        made. Made twice it is made once.
        """
        if acted.next is not None:
            await self._enqueuer.create(acted.next)
        await self.leave([acted])

    async def leave(self, acted: Iterable[Acted], found: WaitingJob | None = None) -> None:
        """Delete the tasks of the turns that were left; `found` is one of them, at its place.

        The guard would find the job ended, or gone on, at their delivery; but it does not remember it for ever.
        """
        left = [one.left for one in acted if one.left is not None]
        places = {
            (self._target.queue_id(turn.job.queue, turn.job.priority), self._target.task_id(turn))
            for turn in left
        }
        if left and found is not None:  # its priority may have belonged to another queue when it was made
            places.add((found.task.queue_id, found.task.id))
        await asyncio.gather(*(self._api.delete_task(queue_id, task_id) for queue_id, task_id in places))


def _once(ids: Sequence[JobId], done: dict[JobId, bool]) -> list[bool]:
    """Answer for each id; of one that was given twice, the second time nothing was left to do."""
    seen: set[JobId] = set()
    answers: list[bool] = []
    for job_id in ids:
        answers.append(done[job_id] and job_id not in seen)
        seen.add(job_id)
    return answers
