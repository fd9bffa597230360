"""An app as its own parts see it: what tasks enqueue through, what handlers find in `ctx.app`, what the twin calls.

`Headway` is all of this; that its parts name this instead keeps each of them below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headway.app.parts import JobSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence

    from headway.app.handle import JobHandle
    from headway.app.managing import Jobs, Queues
    from headway.app.middleware import EnqueueHook
    from headway.app.prepared import PreparedJob
    from headway.brokers.base import Enqueued
    from headway.cache.base import Cache, Limiter
    from headway.clock import Clock
    from headway.codec import Codec
    from headway.config import Settings
    from headway.job import NewJob

R = TypeVar("R")


class App(JobSource, Protocol):
    """An app; see `Headway` for what each of these does."""

    @property
    def name(self) -> str:
        """The app's name."""
        ...

    @property
    def settings(self) -> Settings:
        """Its settings."""
        ...

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...

    @property
    def codec(self) -> Codec:
        """What makes bytes of calls and results."""
        ...

    @property
    def enqueue_hooks(self) -> Sequence[EnqueueHook]:
        """What is called for each job that is about to be made."""
        ...

    @property
    def cache(self) -> Cache:
        """Values shared by all processes."""
        ...

    @property
    def limiter(self) -> Limiter:
        """Rates shared by all processes."""
        ...

    @property
    def jobs(self) -> Jobs:
        """The jobs, whatever became of them."""
        ...

    @property
    def queues(self) -> Queues:
        """The queues of the declared tasks."""
        ...

    def job(self, job_id: str) -> JobHandle[Any]:
        """Return the handle of a job by its id."""
        ...

    async def enqueue_many(self, jobs: Iterable[PreparedJob[R]]) -> list[JobHandle[R]]:
        """Accept jobs made with `task.job(...)`."""
        ...

    def accept(self, job: NewJob) -> Awaitable[Enqueued]:
        """Accept one job, together with the others of this loop turn."""
        ...

    def accept_blocking(self, job: NewJob) -> Enqueued:
        """Accept one job from blocking code."""
        ...
