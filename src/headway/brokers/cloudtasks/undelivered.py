"""Jobs that wait in Cloud Tasks: found by their id, or queue by queue."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from headway.brokers.cloudtasks.api import names
from headway.brokers.cloudtasks.message import decode
from headway.brokers.cloudtasks.records import WaitingJob
from headway.brokers.cloudtasks.target import HEADER_QUEUE
from headway.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headway.brokers.cloudtasks.api.calls import Calls
    from headway.brokers.cloudtasks.api.resources import RemoteQueue, RemoteTask
    from headway.brokers.cloudtasks.target import Target
    from headway.job import JobId

_log: Final = logging.getLogger("headway.cloudtasks")
_REMEMBERED: Final = 10_000  # queues of jobs that this process has seen


class Waiting:
    """Looks tasks up."""

    def __init__(self, api: Calls, target: Target) -> None:
        self._api = api
        self._target = target
        self._queue_of: OrderedDict[JobId, str] = OrderedDict()

    def remember(self, job_id: JobId, queue_id: str) -> None:
        """Keep in mind where a job's task is: to find it elsewhere takes a call for each queue."""
        self._queue_of[job_id] = queue_id
        self._queue_of.move_to_end(job_id)
        if len(self._queue_of) > _REMEMBERED:
            self._queue_of.popitem(last=False)

    async def queues(self) -> list[RemoteQueue]:
        """Return the queues that are, or may be, the app's own, sorted by id."""
        namespace = self._target.namespace
        return sorted(
            (found for found in await self._api.list_queues() if names.may_be_of(namespace, found.id)),
            key=lambda found: found.id,
        )

    async def find(self, ids: Sequence[JobId]) -> dict[JobId, WaitingJob]:
        """Return the tasks of the first turn of these jobs, as far as there are any."""
        found: dict[JobId, WaitingJob] = {}
        await asyncio.gather(*(self._find_in(found, job_id, self._known_place(job_id)) for job_id in ids))
        missing = [job_id for job_id in ids if job_id not in found]
        if missing:
            queue_ids = [queue.id for queue in await self.queues()]
            await asyncio.gather(*(self._find_in(found, job_id, queue_ids) for job_id in missing))
        return found

    def _known_place(self, job_id: JobId) -> Iterable[str]:
        place = self._queue_of.get(job_id)
        return () if place is None else (place,)

    async def _find_in(self, found: dict[JobId, WaitingJob], job_id: JobId, queue_ids: Iterable[str]) -> None:
        task_id = names.task_id(self._target.namespace, job_id, 0)
        for task in await asyncio.gather(*(self._api.get_task(queue_id, task_id) for queue_id in queue_ids)):
            job = None if task is None else self.read(task)
            if job is not None and job.id == job_id:
                found[job_id] = job
                self.remember(job_id, job.task.queue_id)

    async def page(self, queue_id: str, size: int, token: str) -> tuple[list[WaitingJob], str]:
        """Return one page of a queue's tasks, and the token of the next; "": none."""
        tasks, following = await self._api.list_tasks(queue_id, full=True, size=size, token=token)
        return [job for job in map(self.read, tasks) if job is not None], following

    def read(self, task: RemoteTask) -> WaitingJob | None:
        """Return the job of a task; None when it is none of this app's."""
        try:
            namespace, pushed = decode(task.body)
        except CodecError as error:
            _log.warning("queue %s: task %s is left out: %s", task.queue_id, task.id, error)
            return None
        return WaitingJob(task, pushed) if namespace == self._target.namespace else None

    def queue_name(self, queue_id: str, tasks: Sequence[RemoteTask] = ()) -> str | None:
        """Return the app's name of a queue, from its id or from one of its tasks; None: it cannot be told."""
        readable = names.queue_of(self._target.namespace, queue_id)
        if readable is not None:
            return readable[0]
        for task in tasks:
            name = unquote(task.headers.get(HEADER_QUEUE.lower(), ""))
            if name and queue_id in self._target.queue_ids(name):
                return name
        return None
