"""Accepting jobs: each becomes a named task; a key or a fire time is reserved with the guard first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.brokers.base import Enqueued
from headway.brokers.cloudtasks.message import refusal
from headway.errors import BrokerError, PartlyAcceptedError, UnsupportedError
from headway.guards.document import PushedJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.cloudtasks.keeping import Keeping
    from headway.brokers.cloudtasks.link import Link
    from headway.brokers.cloudtasks.target import Target
    from headway.brokers.cloudtasks.waiting import Waiting
    from headway.clock import Clock
    from headway.job import NewJob

MAX_DELAY_MS: Final = 30 * 24 * 3600 * 1000
MAX_WAIT_MS: Final = 31 * 24 * 3600 * 1000
"""Cloud Tasks drops a task that waits longer than that behind its due time, in a paused queue for example."""
MAX_PAYLOAD: Final = 1024 * 1024 - 16 * 1024
"""A task has at most 1 MiB; names, key and headers may take 13 KiB of it at their longest."""


class Enqueuer:
    """Creates tasks."""

    def __init__(self, link: Link, target: Target, waiting: Waiting, keeping: Keeping, clock: Clock) -> None:
        self._link = link
        self._target = target
        self._waiting = waiting
        self._keeping = keeping
        self._clock = clock

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept the jobs; PartlyAcceptedError when some of them were, and others not."""
        now = self._clock.now_ms()
        for job in jobs:
            self._check(job, now)
        # In their order where it matters: of one key, and of one schedule.
        chains: dict[tuple[str, str], list[int]] = {}
        for number, job in enumerate(jobs):
            chains.setdefault(_chain(job), []).append(number)
        answers: list[Enqueued | None] = [None] * len(jobs)

        async def accept(chain: list[int]) -> None:
            for number in chain:
                answers[number] = await self._accept(jobs[number])

        outcomes = await asyncio.gather(*map(accept, chains.values()), return_exceptions=True)
        accepted = [answer for answer in answers if answer is not None]
        for outcome in outcomes:
            if isinstance(outcome, BrokerError) and accepted:
                raise PartlyAcceptedError([answer.id for answer in accepted], outcome) from outcome
            if outcome is not None:
                raise outcome
        return accepted

    async def create(self, pushed: PushedJob) -> bool:
        """Make sure that the task of this turn exists, or has been; true when it was made now."""
        now = self._clock.now_ms()
        job = pushed.job
        if job.due_ms is not None and job.due_ms > now + MAX_DELAY_MS:
            # A retry later than Cloud Tasks can: rather early than never.
            pushed = PushedJob(replace(job, due_ms=now + MAX_DELAY_MS), pushed.turn)
        queue_id = self._target.queue_id(job.queue, job.priority)
        created = await self._link.create_task(queue_id, self._target.spec(pushed, now))
        if created and pushed.turn == 0:
            self._waiting.remember(job.id, queue_id)
        return created

    async def _accept(self, job: NewJob) -> Enqueued:
        if job.fire is None and job.key is None:
            await self.create(PushedJob(job))
            return Enqueued(job.id)
        guard = await self._keeping.guard("a job with an idempotency key or of a schedule")
        wanted = job
        if job.fire is not None:
            first, duplicate = await guard.reserve_fire(job, job.fire)
            if duplicate:
                itself = first == job.id and await self._is_known(job)
                return Enqueued(job.id, duplicate_of=None if itself else first)
            wanted = replace(wanted, id=first)
        known = False
        if job.key is not None:
            reserved = await guard.reservations.reserve(wanted, job.key)
            holder, known = reserved.holder, reserved.known
            wanted = replace(wanted, id=holder.id, queue=holder.queue, priority=holder.priority)
        if not known:
            # Also the job of somebody else who reserved first: he may have died before he created it.
            await self.create(PushedJob(wanted))
        if job.fire is not None:
            await guard.confirm_fire(wanted.id, job.fire)
        return Enqueued(job.id, duplicate_of=None if wanted.id == job.id else wanted.id)

    async def _is_known(self, job: NewJob) -> bool:
        """Tell whether the job was accepted before: then its fire is no duplicate, the call is a repeated one."""
        guard = await self._keeping.guard("a job of a schedule")
        if any(await guard.desk.known([job.id])):
            return True
        queue_id = self._target.queue_id(job.queue, job.priority)
        return await self._link.get_task(queue_id, self._target.task_id(PushedJob(job))) is not None

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
        self._target.check(job.queue)


def _chain(job: NewJob) -> tuple[str, str]:
    if job.fire is not None:
        return "fire", job.fire.schedule
    if job.key is not None:
        return "key", job.key
    return "id", job.id
