"""Enqueueing on several carriers: each job where its route says, and none twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headway.brokers.base import Enqueued
from headway.errors import PartlyAcceptedError
from headway.routing.carriers.marking import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.job import JobId, NewJob
    from headway.routing.carriers.router import Router
    from headway.routing.carriers.sides import Sides

    Answered = Callable[[Sequence[NewJob], Sequence[Enqueued]], None] | None


class Enqueueing:
    """Sends jobs on their ways."""

    def __init__(self, sides: Sides, router: Router, answered: Mapping[str, Answered]) -> None:
        """`answered` has by carrier what is told of the jobs that it was given, and its answers."""
        self._answered = answered
        self._sides = sides
        self._router = router

    async def enqueue(self, jobs: Sequence[NewJob], *, mark: bool = False) -> list[Enqueued]:
        """Accept the jobs; of several carriers each accepts its own, so an error of one leaves those of the others.

        With `mark`, their ids end in the mark of the carrier that they go to. PartlyAcceptedError has the ids of what
        was accepted then. A batch is looked at as a whole: nothing is called for each job of it.
        """
        if not jobs:
            return []
        if self._router.stale:
            await self._router.freshen()
        named = [
            n
            for n, job in enumerate(jobs)
            if job.key is not None or job.unique is not None or job.fire is not None
        ]
        met: dict[int, Enqueued] = await self._met(jobs, named) if named else {}
        chosen = self._router.choose_each(jobs, named=bool(named))
        if isinstance(chosen, str):
            if not met:  # the usual case
                return await self._send(chosen, marked(jobs, self._sides.marks[chosen]) if mark else jobs)
            chosen = [chosen] * len(jobs)
        answers: list[Enqueued | None] = [None] * len(jobs)
        for n, answer in met.items():
            answers[n] = answer
        batches = {
            name: [n for n, goal in enumerate(chosen) if goal == name and answers[n] is None]
            for name in dict.fromkeys(chosen)
        }
        told = await asyncio.gather(
            *(
                self._send_some(name, [jobs[n] for n in some], mark=mark)
                for name, some in batches.items()
                if some
            ),
            return_exceptions=True,
        )
        errors: list[BaseException] = []
        for some, result in zip(filter(None, batches.values()), told, strict=True):
            if isinstance(result, BaseException):
                errors.append(result)
            else:
                for n, answer in zip(some, result, strict=True):
                    answers[n] = answer
        accepted = [answer for answer in answers if answer is not None]
        if errors:
            raise _error(errors, [answer.id for answer in accepted])
        return accepted

    async def _send_some(self, name: str, jobs: Sequence[NewJob], *, mark: bool) -> list[Enqueued]:
        return await self._send(name, marked(jobs, self._sides.marks[name]) if mark else jobs)

    async def _send(self, name: str, jobs: Sequence[NewJob]) -> list[Enqueued]:
        answered = self._answered.get(name)
        try:
            answers = await self._sides[name].enqueue(jobs)
        except PartlyAcceptedError as error:
            if answered is not None:
                taken = frozenset(error.accepted)
                some = [job for job in jobs if job.id in taken]
                answered(some, [Enqueued(job.id) for job in some])
            raise
        if answered is not None:
            answered(jobs, answers)
        return answers

    async def met_before(self, jobs: Sequence[NewJob]) -> dict[int, Enqueued]:
        """Answer for jobs whose key, unique key or fire time a former carrier of theirs knows.

        A job with a unique key goes to the former carrier while that has a holder, which is decided there. No other
        job gets there any more, so once its last holder is gone it has none again: nothing can slip in between.
        """
        return await self._met(jobs, [n for n, job in enumerate(jobs) if job.named])

    async def _met(self, jobs: Sequence[NewJob], named: Sequence[int]) -> dict[int, Enqueued]:
        """Answer for those of these numbers."""
        batches = self._formerly(jobs, named)
        if batches and await self._router.quiet():
            batches = self._formerly(jobs, named)
        answers: dict[int, Enqueued] = {}
        for name, some in batches.items():  # one after the other: a job may be accepted by one of them only
            index = self._sides[name].capabilities.keys
            if index is None:
                continue
            left = [n for n in some if n not in answers]
            unique = [n for n in left if jobs[n].unique is not None]
            told = await index.enqueue_held([jobs[n] for n in unique])
            answers |= {n: one for n, one in zip(unique, told, strict=True) if one is not None}
            keyed = [n for n in left if n not in answers and (jobs[n].key or jobs[n].fire)]
            for n, held in zip(keyed, await index.find_held([jobs[n] for n in keyed]), strict=True):
                if held is not None:
                    answers[n] = Enqueued(jobs[n].id, held if held != jobs[n].id else None)
        return answers

    def _formerly(self, jobs: Sequence[NewJob], named: Sequence[int]) -> dict[str, list[int]]:
        """Return who is to be asked about which of these numbers."""
        batches: dict[str, list[int]] = {}
        for n in named:
            for name in self._router.formerly(jobs[n]):
                batches.setdefault(name, []).append(n)
        return batches


def _error(errors: Sequence[BaseException], accepted: Sequence[JobId]) -> BaseException:
    for error in errors:
        if not isinstance(error, Exception):
            return error
    partly = [error for error in errors if isinstance(error, PartlyAcceptedError)]
    everywhere = [*accepted, *(one for error in partly for one in error.accepted)]
    first = errors[0]
    if not everywhere or not isinstance(first, Exception):
        return first
    cause = first.__cause__ if isinstance(first, PartlyAcceptedError) else first
    return PartlyAcceptedError(everywhere, cause if isinstance(cause, Exception) else first)
