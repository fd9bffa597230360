"""Jobs: looked up, listed, waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.app.managing import tasks_tagged
from headway.brokers.base import JobQuery
from headway.errors import ArgumentsError, ConfigError
from headway.job import JobId, JobState
from headway.server.services.job_views import (
    AttemptError,
    Job,
    JobPage,
    LogEntry,
    job_view,
    job_views,
    log_entries,
)
from headway.server.services.problems import ConflictError, InvalidError

if TYPE_CHECKING:
    import builtins  # in Jobs `list` is a method

    from headway.brokers.base import JobPage as Page
    from headway.server.access.caller import Caller, Scope
    from headway.server.services.shared import Shared

MOST: Final = 1000
"""Jobs of a page."""
LONGEST_WAIT_MS: Final = 60_000
"""For how long one call waits for a job; whoever wants to wait longer calls again."""


class JobSearch(Struct, frozen=True):
    """Which jobs: all given conditions hold. Of several states, queues, tasks or tags any one fits.

    `search` is a part of the id, the task's name or the key.
    """

    state: tuple[JobState, ...] = ()
    queue: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    search: str | None = None


class Result(Struct, frozen=True):
    """How a job ended. `result` is what its handler returned; `error` is that of the last attempt that failed."""

    id: str
    state: JobState
    finished: bool
    result: Any = None
    error: AttemptError | None = None
    reason: str = ""


class Jobs:
    """The jobs of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def get(self, caller: Caller, job_id: JobId) -> Job:
        """Return one job, with all that is known; NotFoundError."""
        carrier, record = await self._shared.one_visible(caller, job_id)
        return await job_view(self._shared, carrier, record, fetch=True)

    async def list(
        self, caller: Caller, search: JobSearch, *, after: str | None = None, limit: int = 100
    ) -> JobPage:
        """Return jobs, in an order that stays, and the cursor of the next page.

        One state in which jobs have ended lists the latest end first, all else lists by id, the newest first. Errors:
        InvalidError for a tag that no task has, or a cursor of another list.
        """
        query = query_of(self._shared, caller.scope, search)
        if query is None:
            return JobPage([])
        page = await list_page(self._shared, query, after, limit)
        return JobPage(await job_views(self._shared, page.jobs), page.cursor)

    async def logs(self, caller: Caller, job_id: JobId) -> builtins.list[LogEntry]:
        """Return what the handler logged, the oldest line first; NotFoundError."""
        await self._shared.one_visible(caller, job_id)
        return log_entries(await self._shared.carrier.logs(job_id))

    async def wait(self, caller: Caller, job_id: JobId, timeout_ms: int) -> Job:
        """Wait until the job has ended, for as long as `LONGEST_WAIT_MS`; return it as it is then. NotFoundError."""
        carrier, record = await self._shared.one_visible(caller, job_id)
        if not record.state.terminal and timeout_ms > 0:
            limit = min(timeout_ms, LONGEST_WAIT_MS)
            record = await self._shared.carrier.wait_finished(job_id, limit) or record
        return await job_view(self._shared, carrier, record, fetch=True)

    async def result(self, caller: Caller, job_id: JobId, timeout_ms: int = 0) -> Result:
        """Return how the job ended; ConflictError while it has not, once the time is over. NotFoundError."""
        job = await self.wait(caller, job_id, timeout_ms)
        if not job.state.terminal:
            msg = f"job {job_id} has not ended: it is {job.state}"
            raise ConflictError(msg)
        error = job.errors[-1] if job.errors and job.state is JobState.FAILED else None
        return Result(job.id, job.state, finished=True, result=job.result, error=error, reason=job.reason)


def query_of(shared: Shared, scope: Scope, search: JobSearch) -> JobQuery | None:
    """Return what a carrier is asked; None when no job can fit. InvalidError for a tag that no task has."""
    tasks, queues = search.task, search.queue
    if search.tag:
        try:
            tagged = tasks_tagged(shared.app, search.tag)
        except ArgumentsError as error:
            raise InvalidError(str(error)) from error
        tasks = tuple(one for one in tagged if one in tasks or not tasks)
        if not tasks:
            return None
    if scope.tasks:
        tasks = tuple(one for one in scope.tasks if one in tasks or not tasks)
        if not tasks:
            return None
    if scope.queues:
        queues = tuple(one for one in scope.queues if one in queues or not queues)
        if not queues:
            return None
    return JobQuery(states=search.state, queues=queues, tasks=tasks, search=search.search)


async def list_page(shared: Shared, query: JobQuery, after: str | None, limit: int) -> Page:
    """Return a page of the carriers' list; InvalidError for a cursor of another list."""
    try:
        return await shared.carrier.list(query, after=after, limit=limit)
    except ConfigError as error:
        raise InvalidError(str(error)) from error
