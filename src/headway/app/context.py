"""The running job, for its handler: what it is, and how to report progress and log lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headway.text import real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.app.interface import App
    from headway.app.lifespan import Resource, Resources
    from headway.job import JobId

T = TypeVar("T")


class ContextChannel(Protocol):
    """Where a running job's reports go: the executor in this process, or a pipe to it."""

    def progress(self, fraction: float, message: str) -> None:
        """Accept the latest progress; it replaces an older one that was not sent yet."""
        ...

    def log(self, level: str, message: str) -> None:
        """Accept a log line."""
        ...

    async def flush(self) -> None:
        """Wait until all accepted reports are recorded or refused."""
        ...

    @property
    def lease_held(self) -> bool:
        """False once the lease is known to be lost."""
        ...

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked to cancel the job."""
        ...


class Context:
    """The running job, as its handler sees it. Declare `ctx: Context` as the first parameter to get one.

    Works the same in `async def` handlers, in threads and in processes.
    """

    __slots__ = (
        "_app",
        "_channel",
        "_resources",
        "attempt",
        "crashes",
        "headers",
        "job_id",
        "queue",
        "task",
    )

    def __init__(  # noqa: PLR0913 - what the executor knows of a run
        self,
        *,
        job_id: JobId,
        task: str,
        queue: str,
        attempt: int,
        crashes: int,
        headers: Mapping[str, str],
        app: App | None,
        channel: ContextChannel,
        resources: Resources,
    ) -> None:
        """Made by the executor."""
        self.job_id = job_id
        self.task = task
        self.queue = queue
        self.attempt = attempt
        self.crashes = crashes
        self.headers = headers
        self._app = app
        self._channel = channel
        self._resources = resources

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt, worker and carrier: for payment providers, mail APIs, INSERT ... ON CONFLICT."""
        return f"headway-{self.job_id}"

    @property
    def app(self) -> App:
        """The app that the job belongs to."""
        if self._app is None:
            msg = "ctx.app: there is no app in this context"
            raise RuntimeError(msg)
        return self._app

    def resource(self, resource: Resource[T]) -> T:
        """Return what the resource yielded when this process opened it; DeclarationError when it is not of this app."""
        return self._resources[resource]

    @property
    def lease_held(self) -> bool:
        """False once the lease is known to be lost: whatever the job does then is superseded."""
        return self._channel.lease_held

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked to cancel: a thread or a long loop should look at it and stop."""
        return self._channel.cancel_requested

    async def progress(self, fraction: float, message: str = "") -> None:
        """Record how far the job is (0 to 1) and wait until it is stored.

        ValueError outside 0 to 1, TypeError when it is no number.
        """
        self.report(fraction, message)
        await self._channel.flush()

    def report(self, fraction: float, message: str = "") -> None:
        """Record how far the job is (0 to 1) without waiting: for sync handlers and hot loops."""
        fraction = real(fraction)
        if not 0 <= fraction <= 1:
            msg = f"progress must be between 0 and 1, got {fraction}"
            raise ValueError(msg)
        self._channel.progress(fraction, message)

    def log(self, message: str, *values: Any, level: str = "info") -> None:  # noqa: ANN401 - as logging takes them
        """Add a line to the job's log, `%`-formatted as in logging; stored soon, at the latest when the job ends."""
        self._channel.log(level, message % values if values else message)

    def __repr__(self) -> str:
        """Show which job, never its arguments."""
        return f"<Context of job {self.job_id}, task {self.task!r}, attempt {self.attempt}>"
