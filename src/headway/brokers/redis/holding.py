"""Which jobs hold the keys that must not be there twice: idempotency keys, unique keys, fire times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import Enqueued
from headway.brokers.redis.enqueue import MODES, TRIES, arguments_of, duplicates, forgetful
from headway.brokers.redis.session import Kind
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.call import Argument
    from headway.job import NewJob


async def find_held(session: Session, jobs: Sequence[NewJob]) -> list[JobId | None]:
    """Return for each job the one that holds one of its keys, in a single script call."""
    if not jobs:
        return []
    arguments: list[Argument] = [session.retention.succeeded_ms, session.retention.failed_ms]
    for job in jobs:
        unique, fire = job.unique, job.fire
        arguments += (
            job.id,
            "" if job.key is None else f"={job.key}",
            "" if unique is None else MODES[unique.mode],
            "" if unique is None else unique.key,
            0 if unique is None else unique.window_ms,
            "" if fire is None else fire.schedule,
            "" if fire is None else fire.at_ms,
        )
    found = await session.run("find_held", *arguments)
    return [JobId(holder.decode(errors="replace")) if holder else None for holder in found]


async def enqueue_held(session: Session, jobs: Sequence[NewJob]) -> list[Enqueued | None]:
    """Enqueue the jobs whose unique key is held here; None for each of the others."""
    first = {job.id: job for job in reversed(jobs)}
    each_once = [first.pop(job.id) for job in jobs if job.id in first]
    kinds = {Kind(job.priority, job.queue, job.task): None for job in jobs}
    for _ in range(TRIES):
        numbers = await session.numbers(kinds)
        arguments = arguments_of(session, each_once, numbers, only_held=True)
        found = duplicates(each_once, await session.run("enqueue", *arguments))
        if found is not None:
            answers = {job.id: _answer(job, found.get(place, job.id)) for place, job in enumerate(each_once)}
            return [answers[job.id] for job in jobs]
        session.forget_kinds()
    raise forgetful()


def _answer(job: NewJob, holder: JobId) -> Enqueued | None:
    if not holder:
        return None
    return Enqueued(job.id, None if holder == job.id else holder)
