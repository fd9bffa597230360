"""Accepting jobs: each becomes a named task; a key or a fire time is reserved with the guard first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.brokers.base import Enqueued
from headway.brokers.cloudtasks.api.calls import PARALLEL
from headway.brokers.cloudtasks.message import refusal
from headway.errors import BrokerUnavailableError, HeadwayError, PartlyAcceptedError, UnsupportedError
from headway.guards.document import PushedJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headway.brokers.cloudtasks.api.calls import Calls
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.brokers.cloudtasks.target import Target
    from headway.brokers.cloudtasks.undelivered import Waiting
    from headway.clock import Clock
    from headway.guards.guard import Guard
    from headway.job import NewJob

MAX_DELAY_MS: Final = 30 * 24 * 3600 * 1000
_FURTHEST_MS: Final = MAX_DELAY_MS - 60_000
"""30 days by the clock of Cloud Tasks, which ours may be ahead of: the last minute of them is not asked for."""
MAX_WAIT_MS: Final = 31 * 24 * 3600 * 1000
"""Cloud Tasks drops a task that waits longer than that behind its due time, in a paused queue for example."""
MAX_PAYLOAD: Final = 1024 * 1024 - 16 * 1024
"""A task has at most 1 MiB; names, key and headers may take 13 KiB of it at their longest."""

_NEEDED_FOR: Final = "a job with an idempotency key, of a schedule, or that comes from another carrier"
_TRIES: Final = 5  # with a key that others reserve for jobs that are gone at once


class Enqueuer:
    """Creates tasks."""

    def __init__(self, api: Calls, target: Target, waiting: Waiting, keeping: Keeping, clock: Clock) -> None:
        self._api = api
        self._target = target
        self._waiting = waiting
        self._keeping = keeping
        self._clock = clock

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept the jobs; PartlyAcceptedError when some of them were, and others not.

        Once Cloud Tasks or the guard cannot be reached, those that nobody began with are not tried any more.
        """
        now = self._clock.now_ms()
        for job in jobs:
            self._check(job, now)
        # In their order where it matters: of one key, and of one schedule.
        chains: dict[tuple[str, str], list[int]] = {}
        for number, job in enumerate(jobs):
            chains.setdefault(_chain(job), []).append(number)
        answers: list[Enqueued | None] = [None] * len(jobs)

        errors: list[Exception] = []

        async def accept(chains_left: Iterator[list[int]]) -> None:
            for chain in chains_left:
                if any(isinstance(error, BrokerUnavailableError) for error in errors):
                    return
                try:
                    for number in chain:
                        answers[number] = await self._accept(jobs[number])
                except Exception as error:  # noqa: BLE001 - raised below, with what was accepted
                    errors.append(error)

        left = iter(chains.values())
        await asyncio.gather(*(accept(left) for _ in range(min(PARALLEL, len(chains)))))
        accepted = [answer for answer in answers if answer is not None]
        if not errors:
            return accepted
        error = next((error for error in errors if not isinstance(error, HeadwayError)), errors[0])
        if accepted:
            raise PartlyAcceptedError([answer.id for answer in accepted], error) from error
        raise error

    async def create(self, pushed: PushedJob) -> bool:
        """Make sure that the task of this turn exists, or has been; true when it was made now."""
        now = self._clock.now_ms()
        job = pushed.job
        if job.due_ms is not None and job.due_ms > now + _FURTHEST_MS:
            # A retry later than Cloud Tasks can: rather early than never.
            pushed = PushedJob(replace(job, due_ms=now + _FURTHEST_MS), pushed.turn)
        queue_id = self._target.queue_id(job.queue, job.priority)
        created = await self._api.create_task(queue_id, self._target.spec(pushed, now))
        if created and pushed.turn == 0:
            self._waiting.remember(job.id, queue_id)
        return created

    async def _accept(self, job: NewJob) -> Enqueued:
        if job.fire is None and job.key is None and job.past is None:
            await self.create(PushedJob(job))
            return Enqueued(job.id)
        guard = await self._keeping.guard(_NEEDED_FOR)
        wanted = job
        if job.fire is not None:
            first, duplicate = await guard.reserve_fire(job, job.fire)
            if duplicate:
                itself = first == job.id and await self._is_known(job)
                return Enqueued(job.id, duplicate_of=None if itself else first)
            wanted = replace(wanted, id=first)
        if job.key is None:
            await self._make(guard, wanted)
        else:
            wanted = await self._create_once(guard, wanted, job.key)
        if job.fire is not None:
            await guard.confirm_fire(wanted.id, job.fire)
        return Enqueued(job.id, duplicate_of=None if wanted.id == job.id else wanted.id)

    async def _make(self, guard: Guard, job: NewJob) -> bool:
        """Make sure that the task exists, or has been; true when it was made now.

        A job with a past is made known to the guard first: its task is of a later turn than the first, so nobody else
        would find it by its id.
        """
        if job.past is None:
            return await self.create(PushedJob(job))
        pushed = await guard.desk.admit(job, job.past)
        return pushed is not None and await self.create(pushed)

    async def _create_once(self, guard: Guard, job: NewJob, key: str) -> NewJob:
        """Make sure that the one job of the key exists, this one or whose reservation was first; return that one."""
        for _ in range(_TRIES):
            reserved = await guard.reservations.reserve(job, key)
            holder = reserved.holder
            first = job
            if holder.id != job.id:
                first = replace(job, id=holder.id, queue=holder.queue, priority=holder.priority, past=None)
            # Also that of somebody else: he may have died before he created it.
            if reserved.known or await self._make(guard, first) or first.id == job.id:
                return first
            if await self._is_known(first):
                return first
            # Its task and its record are gone: the process that ended it died before it freed the key.
            await guard.reservations.free(key, first.id)
        msg = f"job {job.id}: its idempotency key was reserved {_TRIES} times for jobs that are gone"
        raise BrokerUnavailableError(msg)

    async def _is_known(self, job: NewJob) -> bool:
        """Tell whether the job was accepted before: it waits in Cloud Tasks, or the guard has heard of it."""
        queue_id = self._target.queue_id(job.queue, job.priority)
        if await self._api.get_task(queue_id, self._target.task_id(PushedJob(job))) is not None:
            return True
        # In this order: what is done between the two is known by then.
        guard = await self._keeping.guard(_NEEDED_FOR)
        return any(await guard.desk.known([job.id]))

    def _check(self, job: NewJob, now_ms: int) -> None:
        """Refuse what Cloud Tasks would refuse, before anything is written."""
        wrong = refusal(job)
        if wrong is not None:
            msg = f"job {job.id} cannot be sent: {wrong}"
            raise UnsupportedError(msg)
        if len(job.payload) > MAX_PAYLOAD:
            msg = (
                f"job {job.id} of task {job.task!r}: Cloud Tasks takes payloads of {MAX_PAYLOAD} bytes, this has "
                f"{len(job.payload)}; `offload` moves large ones to a bucket"
            )
            raise UnsupportedError(msg)
        if job.due_ms is not None and job.due_ms - now_ms > MAX_DELAY_MS:
            msg = f"job {job.id} of task {job.task!r}: Cloud Tasks takes delays of at most 30 days"
            raise UnsupportedError(msg)
        if job.unique is not None:
            msg = f"job {job.id} of task {job.task!r}: Cloud Tasks has no unique jobs; use an idempotency key"
            raise UnsupportedError(msg)
        if job.key is not None or job.fire is not None or job.past is not None:
            self._keeping.check(_NEEDED_FOR)
        self._target.check(job.queue)


def _chain(job: NewJob) -> tuple[str, str]:
    if job.fire is not None:
        return "fire", job.fire.schedule
    if job.key is not None:
        return "key", job.key
    return "id", job.id
