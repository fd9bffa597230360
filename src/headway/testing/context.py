"""A context without a worker: for the test of a handler as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.app.context import Context
from headway.app.lifespan import Resources
from headway.brokers.base import Progress
from headway.job import new_job_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.app.interface import App
    from headway.app.lifespan import Resource


class FakeContext(Context):
    """What a handler gets as `ctx` in a test: it keeps what it is told, and needs no app and no carrier.

    `reports` has what the handler said of its progress, `lines` its log lines as (level, message), both in order.
    """

    __slots__ = ("_notes", "lines", "reports")

    def __init__(
        self,
        *,
        resources: Mapping[Resource[Any], object] | None = None,
        headers: Mapping[str, str] | None = None,
        task: str = "task",
        queue: str = "default",
        attempt: int = 1,
        crashes: int = 0,
        app: App | None = None,
    ) -> None:
        """Make one; what is not given is that of a first attempt without headers.

        `resources` are the values that `ctx.resource(...)` returns, such as `{db: FakePool()}`; `app` is `ctx.app`.
        """
        self._notes = _Notes()
        self.reports = self._notes.reports
        self.lines = self._notes.lines
        super().__init__(
            job_id=new_job_id(),
            task=task,
            queue=queue,
            attempt=attempt,
            crashes=crashes,
            headers=dict(headers or {}),
            app=app,
            channel=self._notes,
            resources=_Given(resources or {}),
        )

    def cancel(self) -> None:
        """Have somebody ask to cancel the job: `ctx.cancel_requested` is true from now on."""
        self._notes.cancel_requested = True

    def lose_lease(self) -> None:
        """Have the worker lose its lease: `ctx.lease_held` is false from now on."""
        self._notes.lease_held = False


class _Notes:
    """The channel of the context: it only keeps."""

    def __init__(self) -> None:
        self.reports: list[Progress] = []
        self.lines: list[tuple[str, str]] = []
        self.cancel_requested = False
        self.lease_held = True

    def progress(self, fraction: float, message: str) -> None:
        self.reports.append(Progress(fraction, message))

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))

    async def flush(self) -> None: ...


class _Given(Resources):
    """The values that a test gives."""

    __slots__ = ()

    def __init__(self, given: Mapping[Resource[Any], object]) -> None:
        super().__init__("of a test", {one.name: one for one in given})
        for resource, value in given.items():
            self.put(resource, value)

    def absence(self, resource: Any) -> str:  # noqa: ANN401 - whatever was asked for
        return f"{resource!r} is not given to this test: FakeContext(resources={{...}}) takes a value for it"
