"""How carriers are given jobs: checked against what they can do, large payloads put aside, many in one call."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol

from headway.errors import UnsupportedError
from headway.job import mark_of
from headway.routing.carriers.marking import marked_one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from headway.app.accepted import Accepted
    from headway.app.batching import Batcher
    from headway.brokers.base import Capabilities, Enqueued, Store
    from headway.clock import Clock
    from headway.job import JobId, NewJob
    from headway.offload.payloads import Offload
    from headway.routing.carriers.broker import RoutedBroker

_ALONE = 64  # jobs on their way at once to a carrier that takes each by itself


class Acceptor(Protocol):
    """Takes jobs for the carriers of an app, on one event loop."""

    def accept(self, job: NewJob, /) -> Awaitable[Enqueued]:
        """Check one job and enqueue it with the others of this loop turn; to be awaited at once."""
        ...

    def accept_blocking(self, job: NewJob, /) -> JobId | None:
        """Accept one job from another thread without the loop; return its id, None when it has to go through it."""
        ...

    def check(self, job: NewJob, /) -> None:
        """Raise UnsupportedError when the job's carrier cannot do what it asks."""
        ...

    async def accept_many(self, jobs: list[NewJob], /) -> list[Enqueued]:
        """Enqueue jobs that were checked, in one call of each carrier; large payloads are offloaded, if that is set."""
        ...

    async def finish(self) -> None:
        """Wait for the enqueues under way; then take no more."""
        ...


class OneAcceptor:
    """Enqueues on one carrier."""

    def __init__(
        self,
        carrier: Store,
        enqueuer: Batcher[NewJob, Enqueued],
        clock: Clock,
        offload: Offload | None,
    ) -> None:
        self.carrier = carrier
        self.enqueuer = enqueuer
        self._clock = clock
        self._limits: Capabilities = carrier.capabilities
        self._blocking = self._limits.blocking
        self._offload = offload
        self.over = sys.maxsize if offload is None else min(offload.over, self._limits.max_payload)

    def accept(self, job: NewJob) -> Awaitable[Enqueued]:
        """Check one job against the carrier's capabilities and enqueue it with the others of this loop turn."""
        self.check(job)
        if len(job.payload) > self.over:
            return self._accept_large(job)
        return self.enqueuer.submit(job)

    def accept_blocking(self, job: NewJob) -> JobId | None:
        """Accept one job from another thread without the loop; None when it has to go through it."""
        blocking = self._blocking
        if blocking is None or len(job.payload) > self.over:
            return None
        self.check(job)
        return job.id if blocking.enqueue_blocking(job) else None

    async def _accept_large(self, job: NewJob) -> Enqueued:
        (shrunk,) = await self.shrunk([job])
        return await self.enqueuer.submit(shrunk)

    async def accept_many(self, jobs: list[NewJob]) -> list[Enqueued]:
        """Enqueue jobs that were checked, in one call."""
        return await self.carrier.enqueue(await self.shrunk(jobs))

    @property
    def offloads(self) -> bool:
        """True when large payloads go to a store of the app."""
        return self._offload is not None

    async def shrunk(self, jobs: list[NewJob]) -> list[NewJob]:
        """Return the jobs with large payloads offloaded, if the app has a store for them."""
        return jobs if self._offload is None else await self._offload.shrunk(jobs, self.over)

    def check(self, job: NewJob) -> None:
        """Raise UnsupportedError when the carrier cannot do what the job asks."""
        limits = self._limits
        if limits.max_payload < len(job.payload) <= self.over:
            size = len(job.payload)
            msg = f"task {job.task!r}: {limits.name} takes payloads of {limits.max_payload} bytes, this has {size}"
            raise UnsupportedError(msg)
        if (
            limits.max_delay_ms is not None
            and job.due_ms is not None
            and job.due_ms - self._clock.now_ms() > limits.max_delay_ms
        ):
            msg = f"task {job.task!r}: {limits.name} takes delays of at most {limits.max_delay_ms / 86_400_000:g} days"
            raise UnsupportedError(msg)
        if job.unique is not None and not limits.unique:
            msg = f"task {job.task!r}: {limits.name} has no unique jobs"
            raise UnsupportedError(msg)

    async def finish(self) -> None:
        """Wait for the enqueues under way; then take no more."""
        await self.enqueuer.finish()


class RoutedAcceptor:
    """Enqueues each job on the carrier that its route names."""

    def __init__(
        self, broker: RoutedBroker, acceptors: Mapping[str, OneAcceptor], accepted: Accepted
    ) -> None:
        """`accepted` counts the jobs that are accepted without the loop, and writes the last figures at the end."""
        self._accepted = accepted
        self._broker = broker
        self._router = broker.router
        self._acceptors = dict(acceptors)
        self._marks = {name: mark_of(name) for name in acceptors}
        self._fits = min(one.carrier.capabilities.max_payload for one in acceptors.values())
        self._smallest = min(acceptors.values(), key=lambda one: one.over)
        self._tried: dict[str, str] = {}  # ids without their marks, and the carriers that may have these jobs

    def accept(self, job: NewJob) -> Awaitable[Enqueued]:
        """Enqueue one job; nobody is asked before but for one whose name earlier routes sent elsewhere."""
        if self._tried and (tried := self._tried.pop(job.id[:-1], None)) is not None:
            # Sent without the loop, and not answered: it goes to the same carrier again, under the same id.
            return self._acceptors[tried].accept(marked_one(job, self._marks[tried]))
        name = self._router.choose_at_once(job)
        if name is None:
            return self._accept_slowly(job)
        mark = self._marks[name]
        if job.id[-1] != mark:  # or else it was made with it
            job = marked_one(job, mark)
        return self._acceptors[name].accept(job)

    async def _accept_slowly(self, job: NewJob) -> Enqueued:
        if self._router.stale:
            await self._router.freshen()
        if job.named and (met := await self._broker.met_before([job])):
            return met[0]
        name = self._router.choose(job)
        return await self._acceptors[name].accept(marked_one(job, self._marks[name]))

    def accept_blocking(self, job: NewJob) -> JobId | None:
        """Accept one job from another thread; None when something has to be asked first."""
        router = self._router
        if job.named or router.stale:
            return None
        name = router.choose(job)
        accepted = self._acceptors[name].accept_blocking(marked_one(job, self._marks[name]))
        if accepted is not None:
            self._accepted.blocking(name, job)
        else:
            self._tried[job.id[:-1]] = name
        return accepted

    def check(self, job: NewJob) -> None:
        """Raise UnsupportedError when the job's carrier cannot do what it asks."""
        if job.due_ms is None and job.unique is None and len(job.payload) <= self._fits:
            return  # any carrier can: which one it is need not be known yet
        self._acceptors[self._router.choose(job)].check(job)

    async def accept_many(self, jobs: list[NewJob]) -> list[Enqueued]:
        """Enqueue jobs that were checked; offloaded are payloads over what each of the carriers takes."""
        if self._smallest.offloads:
            if self._router.stale:
                await self._router.freshen()
            choose = self._router.choose  # what is put aside lies under the job's id
            jobs = await self._smallest.shrunk([marked_one(job, self._marks[choose(job)]) for job in jobs])
        return await self._broker.enqueue_marked(jobs)

    async def finish(self) -> None:
        """Wait for the enqueues under way."""
        await asyncio.gather(*(acceptor.finish() for acceptor in self._acceptors.values()))
        await self._accepted.finish()


def enqueuer_of(
    carrier: Store, answered: Callable[[Sequence[NewJob], Sequence[Enqueued]], None] | None = None
) -> Batcher[NewJob, Enqueued]:
    """Return what makes few calls of the enqueues of many callers; for the running loop.

    `answered` is told of the jobs of each call, and the carrier's answers.
    """
    from headway.app.batching import Batcher  # noqa: PLC0415 - loads asyncio, which `import headway` need not

    able = carrier.capabilities
    if not able.atomic:
        # Each with an answer of its own: what befalls one job is nothing to those beside it.
        return Batcher(carrier.enqueue, answered=answered, limit=1, parallel=_ALONE)
    begin = None if able.starter is None else able.starter.begin_enqueue
    return Batcher(carrier.enqueue, begin=begin, answered=answered)
