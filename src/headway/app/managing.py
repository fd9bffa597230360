"""Managing jobs and queues: list, count, retry, remove, pause; with blocking twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from headway.app.info import JobInfo, JobList, QueueInfo, job_info, queue_info
from headway.errors import ArgumentsError
from headway.job import JobId, JobState, is_job_id
from headway.names import checked_name
from headway.text import storable

if TYPE_CHECKING:
    import builtins  # in Jobs `list` is a method
    from collections.abc import Iterable
    from typing import TypeAlias

    from headway.app.handle import JobHandle, SyncJobHandle
    from headway.app.parts import JobSource
    from headway.app.portal import Portal

    OneJob: TypeAlias = str | JobHandle[Any] | SyncJobHandle[Any] | JobInfo

T = TypeVar("T")
_MOST = 1000  # jobs of a page


class Jobs:
    """The jobs of an app, whatever became of them. The app must be open on this loop."""

    __slots__ = ("_app",)

    def __init__(self, app: JobSource) -> None:
        """Made by the app."""
        self._app = app

    async def list(
        self,
        *,
        state: JobState | str | Iterable[JobState | str] = (),
        queue: str | Iterable[str] = (),
        task: str | None = None,
        tag: str | Iterable[str] = (),
        search: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> JobList:
        """Return jobs that fulfil all conditions, at most `limit` (1 to 1000), and the cursor for the next `after`.

        `state`, `queue` and `tag` are one or several; a job has the tags of its task. `search` is a part of an id, a
        task's name or a key. One state that is the end of jobs lists the latest end first, all else lists by id.
        ArgumentsError names what is wrong.
        """
        from headway.brokers.base import JobQuery  # noqa: PLC0415 - loaded with the carrier, not with the package

        if type(limit) is not int or not 1 <= limit <= _MOST:
            msg = f"limit must be a whole number from 1 to {_MOST}, got {limit!r}"
            raise ArgumentsError(msg)
        tasks: tuple[str, ...] = () if task is None else (task,)
        if tags := _several(tag):
            tasks = tuple(one for one in tasks_tagged(self._app, tags) if one in tasks or not tasks)
            if not tasks:
                return JobList([])
        query = JobQuery(
            states=tuple(_state(one) for one in _several(state)),
            queues=tuple(_several(queue)),
            tasks=tasks,
            search=search,
        )
        page = await self._app.carrier.list(query, after=after, limit=limit)
        return JobList([await job_info(self._app, one, fetch=False) for one in page.jobs], page.cursor)

    async def get(self, *jobs: OneJob) -> builtins.list[JobInfo | None]:
        """Return what is known of these jobs, in their order; None of one that is not known."""
        records = await self._app.carrier.get(_ids(jobs))
        return [None if one is None else await job_info(self._app, one, fetch=True) for one in records]

    async def cancel(self, *jobs: OneJob, reason: str = "") -> builtins.list[JobState | None]:
        """Cancel jobs: waiting ones at once, running ones are asked; their states after it, None: not known."""
        return [one.state for one in await self._app.carrier.cancel(_ids(jobs), storable(reason))]

    async def retry(self, *jobs: OneJob) -> builtins.list[bool]:
        """Give failed, cancelled or expired jobs a new life with fresh attempts; tell which were such."""
        return await self._app.carrier.retry(_ids(jobs))

    async def promote(self, *jobs: OneJob) -> builtins.list[bool]:
        """Make scheduled jobs ready now; tell which were scheduled."""
        return await self._app.carrier.promote(_ids(jobs))

    async def remove(self, *jobs: OneJob) -> builtins.list[bool]:
        """Forget jobs that are not running, with their results and logs; tell which were removed."""
        return await self._app.carrier.remove(_ids(jobs))


class Queues(list[str]):
    """The names of the queues of the declared tasks, sorted, and what is done with queues; the app must be open."""

    __slots__ = ("_app",)

    def __init__(self, app: JobSource, names: Iterable[str]) -> None:
        """Made by the app."""
        super().__init__(names)
        self._app = app

    async def counts(self, *names: str) -> list[QueueInfo]:
        """Return these queues, or all that hold a job or are paused, sorted by name."""
        counted = await self._app.carrier.counts(_names(names) or None)
        return [queue_info(one) for one in counted]

    async def pause(self, *names: str) -> None:
        """Hand out no more jobs of these queues; running ones go on, new ones are accepted."""
        for name in _some(names):
            await self._app.carrier.pause(name)

    async def resume(self, *names: str) -> None:
        """Hand out jobs of these queues again."""
        for name in _some(names):
            await self._app.carrier.resume(name)

    async def paused(self) -> frozenset[str]:
        """Return the names of the paused queues."""
        return await self._app.carrier.paused()

    async def drain(self, name: str) -> int:
        """Remove all jobs that wait in the queue, also delayed ones; return how many."""
        return await self._app.carrier.drain(*_names((name,)))


class SyncJobs:
    """The blocking twin of Jobs."""

    __slots__ = ("_own", "_portal")

    def __init__(self, own: Jobs, portal: Portal) -> None:
        """Made by the app."""
        self._own = own
        self._portal = portal

    def list(
        self,
        *,
        state: JobState | str | Iterable[JobState | str] = (),
        queue: str | Iterable[str] = (),
        task: str | None = None,
        tag: str | Iterable[str] = (),
        search: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> JobList:
        """Return jobs; see `Jobs.list`."""
        return self._portal.call(
            self._own.list,
            state=state,
            queue=queue,
            task=task,
            tag=tag,
            search=search,
            limit=limit,
            after=after,
        )

    def get(self, *jobs: OneJob) -> builtins.list[JobInfo | None]:
        """Return what is known of these jobs; see `Jobs.get`."""
        return self._portal.call(self._own.get, *jobs)

    def cancel(self, *jobs: OneJob, reason: str = "") -> builtins.list[JobState | None]:
        """Cancel jobs; see `Jobs.cancel`."""
        return self._portal.call(self._own.cancel, *jobs, reason=reason)

    def retry(self, *jobs: OneJob) -> builtins.list[bool]:
        """Give jobs a new life; see `Jobs.retry`."""
        return self._portal.call(self._own.retry, *jobs)

    def promote(self, *jobs: OneJob) -> builtins.list[bool]:
        """Make scheduled jobs ready now; see `Jobs.promote`."""
        return self._portal.call(self._own.promote, *jobs)

    def remove(self, *jobs: OneJob) -> builtins.list[bool]:
        """Forget jobs; see `Jobs.remove`."""
        return self._portal.call(self._own.remove, *jobs)


class SyncQueues:
    """The blocking twin of Queues."""

    __slots__ = ("_own", "_portal")

    def __init__(self, own: Queues, portal: Portal) -> None:
        """Made by the app."""
        self._own = own
        self._portal = portal

    def counts(self, *names: str) -> list[QueueInfo]:
        """Return these queues, or all; see `Queues.counts`."""
        return self._portal.call(self._own.counts, *names)

    def pause(self, *names: str) -> None:
        """Hand out no more jobs of these queues; see `Queues.pause`."""
        self._portal.call(self._own.pause, *names)

    def resume(self, *names: str) -> None:
        """Hand out jobs of these queues again."""
        self._portal.call(self._own.resume, *names)

    def paused(self) -> frozenset[str]:
        """Return the names of the paused queues."""
        return self._portal.call(self._own.paused)

    def drain(self, name: str) -> int:
        """Remove all jobs that wait in the queue; return how many."""
        return self._portal.call(self._own.drain, name)


def tasks_tagged(app: JobSource, tags: Iterable[str]) -> list[str]:
    """Return the names and aliases of the tasks with one of these tags; ArgumentsError for a tag that no task has.

    Tags do not travel with the jobs: they are found by their tasks, so jobs that wait already have a tag as soon as it
    is declared, and no carrier stores or indexes it.
    """
    found: set[str] = set()
    for tag in tags:
        names = {name for name, task in app.known_tasks.items() if tag in task.tags}
        if not names:
            there = sorted({one for task in app.known_tasks.values() for one in task.tags})
            msg = f"no task of this app has the tag {tag!r}; there are: {', '.join(there) or 'none'}"
            raise ArgumentsError(msg)
        found |= names
    return sorted(found)


def _ids(jobs: Iterable[OneJob]) -> list[JobId]:
    return [_id(one) for one in jobs]


def _id(one: object) -> JobId:
    found: object = getattr(one, "id", one)
    if not is_job_id(found):
        msg = f"{found!r} is not a job: give ids or handles, such as retry(first, second)"
        raise ArgumentsError(msg)
    return JobId(cast("str", found))


def _several(given: Any) -> list[Any]:  # noqa: ANN401 - one or several
    return [given] if isinstance(given, str) else list(given)


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError as error:
        msg = f"state must be one of {', '.join(JobState)}; got {text!r}"
        raise ArgumentsError(msg) from error


def _names(names: Iterable[str]) -> list[str]:
    return [checked_name("queue", one) for one in names]


def _some(names: tuple[str, ...]) -> list[str]:
    if not names:
        msg = "name the queues, such as pause('email', 'reports')"
        raise ArgumentsError(msg)
    return _names(names)
