"""The blocking twin of an app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from headway.app.handle import SyncJobHandle

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from headway.app.interface import App
    from headway.app.managing import SyncJobs, SyncQueues
    from headway.app.prepared import PreparedJob
    from headway.app.schedules import Schedules, SyncSchedules

    class Source(App, Protocol):
        """An app with schedules."""

        @property
        def schedules(self) -> Schedules:
            """Those of the code, and what is done with all."""
            ...


R = TypeVar("R")


class SyncApp:
    """Blocking calls of an app, for Flask, Django, scripts and threads. Opens by itself at the first call."""

    __slots__ = ("_app",)

    def __init__(self, app: Source) -> None:
        """Made by the app."""
        self._app = app

    @property
    def jobs(self) -> SyncJobs:
        """The jobs, whatever became of them; see `Headway.jobs`."""
        from headway.app.managing import SyncJobs  # noqa: PLC0415 - `import headway` need not pay for it

        return SyncJobs(self._app.jobs, self._app.portal)

    @property
    def queues(self) -> SyncQueues:
        """What is done with queues; see `Headway.queues`."""
        from headway.app.managing import SyncQueues  # noqa: PLC0415 - as above

        return SyncQueues(self._app.queues, self._app.portal)

    @property
    def schedules(self) -> SyncSchedules:
        """The schedules of the code, and those made at run time; see `Headway.schedules`."""
        from headway.app.schedules import SyncSchedules  # noqa: PLC0415 - as above

        return SyncSchedules(self._app.schedules, self._app.portal)

    def enqueue_many(self, jobs: Iterable[PreparedJob[R]]) -> list[SyncJobHandle[R]]:
        """Accept jobs made with `task.job(...)`; see `Headway.enqueue_many`."""
        return [SyncJobHandle(handle) for handle in self._app.portal.call(self._app.enqueue_many, jobs)]

    def job(self, job_id: str) -> SyncJobHandle[Any]:
        """Return the handle of a job by its id; ValueError when it has not the form of one."""
        return SyncJobHandle(self._app.job(job_id))

    def close(self) -> None:
        """Close what blocking calls opened; also done at the end of the process."""
        self._app.portal.close()

    def __enter__(self) -> Self:
        """Do nothing: opening waits for the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
