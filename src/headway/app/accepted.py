"""Counts the jobs that carriers accept of this process, where an app has several: then their shares are of interest."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from headway.app.counting import counting
from headway.figures.gatherer import MAX_ROWS, Ending
from headway.job import SHADOW_QUEUE, new_job_id
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.app.counting import Counting
    from headway.brokers.base import Enqueued, Store
    from headway.clock import Clock
    from headway.job import NewJob
    from headway.routing.shadowing import Sent, Shadower

_log = logging.getLogger("headway.app")


class Accepted:
    """Counts in memory; what was counted is written every few seconds, and nothing while no job is enqueued."""

    def __init__(self, figures: Counting | None, clock: Clock) -> None:
        """None: no carrier of the app keeps figures, so nothing is counted."""
        self.shadower: Shadower | None = None
        """Copies some of what is accepted."""
        self._counting = figures
        self._clock = clock
        self._services = Services(_log, "enqueued jobs")
        self._begun = False
        self._counts: dict[str, dict[tuple[str, str], int]] = {}  # by carrier: queue and task

    def of_carrier(self, name: str) -> Callable[[Sequence[NewJob], Sequence[Enqueued]], None] | None:
        """Return what is called on the app's loop with the jobs that this carrier has answered; None: nothing is."""
        if self._counting is None:
            return None if self.shadower is None else partial(self.shadower.copy, name)
        counts: dict[tuple[str, str], int] = {}
        self._counts[name] = counts

        def count(jobs: Sequence[NewJob], answers: Sequence[Enqueued]) -> None:
            if not jobs:
                return
            key = queue, task = jobs[0].queue, jobs[0].task
            if len(jobs) == 1 or len(
                [None for job in jobs if job.task == task and job.queue == queue]
            ) == len(jobs):
                met = len([None for answer in answers if answer.duplicate_of is not None])
                counts[key] = counts.get(key, 0) + len(jobs) - met
            else:
                for job, answer in zip(jobs, answers, strict=True):
                    if answer.duplicate_of is None:
                        key = job.queue, job.task
                        counts[key] = counts.get(key, 0) + 1
            if not self._begun or len(counts) > MAX_ROWS:
                self._begin()
            if self.shadower is not None and self.shadower.shadows():
                self.shadower.copy(name, jobs, answers)

        return count

    def shadowed(self, sent: Sent) -> None:
        """Count copies of jobs: those that a carrier took, and under the task `(enqueue)` how long the call took."""
        if self._counting is None:
            return
        gatherer, now_ms = self._counting.gatherer, self._clock.now_ms()
        if sent.accepted:
            gatherer.enqueued(SHADOW_QUEUE, sent.task, sent.carrier, now_ms, sent.count)
        ending = Ending.SUCCEEDED if sent.accepted else Ending.DEAD
        gatherer.ended(SHADOW_QUEUE, "(enqueue)", sent.carrier, now_ms, ending, sent.ms)

    def blocking(self, name: str, job: NewJob) -> None:
        """Count a job that was accepted without the loop, from any thread: after others, which began the writing."""
        if self.shadower is not None:
            self.shadower.copy_one(name, job)
        if self._counting is not None:
            self._counting.gatherer.enqueued(job.queue, job.task, name, self._clock.now_ms())

    def kept(self, name: str, jobs: Sequence[NewJob]) -> None:
        """Count these not, of which the carrier answers next: they are in the spool, and count when they leave it."""
        if (counts := self._counts.get(name)) is not None:
            for job in jobs:
                key = job.queue, job.task
                counts[key] = counts.get(key, 0) - 1

    def brought(self, name: str, jobs: Sequence[NewJob]) -> None:
        """Count jobs that a carrier has taken from the spool, whichever process had accepted them."""
        if (counts := self._counts.get(name)) is not None:
            for job in jobs:
                key = job.queue, job.task
                counts[key] = counts.get(key, 0) + 1
            self._begin()

    async def finish(self) -> None:
        """Write the last of it, within a second; copies that were not sent yet are not."""
        if self.shadower is not None:
            await self.shadower.stop()
        await self._services.stop()
        if self._counting is not None:
            self._fold(self._counting)
            await self._counting.finish()

    def _begin(self) -> None:
        if self._counting is None:
            return
        if not self._begun:
            self._begun = True
            self._services.start("figures", self._round, first=self._counting.pause())
        self._fold(self._counting)

    async def _round(self) -> float:
        if self._counting is None:
            return 0.0
        self._fold(self._counting)
        return await self._counting.round()

    def _fold(self, figures: Counting) -> None:
        """Give what was counted since the last time to the figures, which are bounded, as of now."""
        now_ms = self._clock.now_ms()
        for name, counts in self._counts.items():
            for (queue, task), count in counts.items():
                figures.gatherer.enqueued(queue, task, name, now_ms, count)
            counts.clear()


def accepted_by(carriers: Mapping[str, Store], clock: Clock) -> Accepted:
    """Return what counts for these carriers, of one process and event loop."""
    return Accepted(counting(carriers, f"producer-{new_job_id()}", clock), clock)
