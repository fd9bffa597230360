"""Reading: what the guard keeps of jobs that were delivered, and what Cloud Tasks keeps of those that were not."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.brokers.base import JobPage, JobQuery, QueueCounts
from headway.brokers.cloudtasks.api import names as task_names
from headway.brokers.cloudtasks.records import waiting_state
from headway.brokers.cloudtasks.target import HEADER_EXPIRES, HEADER_JOB
from headway.errors import ConfigError
from headway.guards.desk import matches
from headway.job import JobId, JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import LogLine
    from headway.brokers.cloudtasks.api.calls import Calls
    from headway.brokers.cloudtasks.api.resources import RemoteTask
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.brokers.cloudtasks.queue_names import QueueNames
    from headway.brokers.cloudtasks.records import WaitingJob
    from headway.brokers.cloudtasks.target import Target
    from headway.brokers.cloudtasks.undelivered import Waiting
    from headway.clock import Clock
    from headway.guards.guard import Guard
    from headway.job import JobRecord

LIMIT_MAX: Final = 1000
_PAGE: Final = 1000
_KEPT_WAITING: Final = (JobState.SCHEDULED, JobState.READY)
_WAITING: Final = frozenset({JobState.SCHEDULED, JobState.READY, JobState.EXPIRED})


class _Cursor(Struct, frozen=True, array_like=True):
    """Where a list goes on: in a queue of Cloud Tasks, at a token of its API; behind them, in the guard's store."""

    queue_id: str | None
    token: str | None


class Inspection:
    """Looks jobs up."""

    def __init__(  # noqa: PLR0917 - each is a part of the carrier
        self, api: Calls, target: Target, waiting: Waiting, names: QueueNames, keeping: Keeping, clock: Clock
    ) -> None:
        self._api = api
        self._target = target
        self._names = names
        self._waiting = waiting
        self._keeping = keeping
        self._clock = clock

    async def get(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return the records, in the order of the ids: one command of the guard unless some were never delivered."""
        guard = await self._keeping.guard("looking a job up")
        unique = list(dict.fromkeys(ids))
        found = await _kept(guard, unique)
        missing = [job_id for job_id in unique if job_id not in found]
        if missing:
            waiting = await self._waiting.find(missing)
            now = self._clock.now_ms()
            # Asked again: what is not there now may have ended since the guard was asked, what is may have been begun.
            found |= await _kept(guard, missing)
            waiting = {job_id: job for job_id, job in waiting.items() if job_id not in found}
            gone = await guard.desk.gone(list(waiting)) if waiting else []
            found |= {
                job_id: job.record(now)
                for (job_id, job), is_gone in zip(waiting.items(), gone, strict=True)
                if not is_gone
            }
        return [found.get(job_id) for job_id in ids]

    async def logs(self, job_id: JobId) -> list[LogLine]:
        """Return the job's log."""
        guard = await self._keeping.guard("reading a log")
        return await guard.desk.logs(job_id)

    async def page(self, query: JobQuery, after: str | None, limit: int) -> JobPage:
        """List matching jobs: first what waits in Cloud Tasks, queue by queue, then what the guard knows."""
        guard = await self._keeping.guard("listing jobs")
        limit = max(1, min(limit, LIMIT_MAX))
        cursor = _Cursor("", None) if after is None else _read_cursor(after)
        jobs: list[JobRecord] = []
        if cursor.queue_id is not None:
            if not query.states or _WAITING.intersection(query.states):
                cursor = await self._page_waiting(guard, query, cursor, jobs, limit)
            else:
                cursor = _Cursor(None, None)
        if len(jobs) == limit or cursor.queue_id is not None:
            return JobPage(jobs, _write_cursor(cursor))
        kept = await guard.desk.page(query, after=cursor.token, limit=limit - len(jobs))
        return JobPage(
            [*jobs, *kept.jobs], None if kept.cursor is None else _write_cursor(_Cursor(None, kept.cursor))
        )

    async def paused(self) -> frozenset[str]:
        """Return the paused queues, as far as their names can be told."""
        stopped = [queue.id for queue in await self._waiting.queues() if queue.paused]
        kept = await self._names.kept() if any(map(self._is_opaque, stopped)) else {}
        found: set[str] = set()
        for queue_id in stopped:
            name = kept.get(queue_id) or self._waiting.queue_name(queue_id)
            if name is None:
                tasks, _ = await self._api.list_tasks(queue_id, full=False, size=1)
                name = self._waiting.queue_name(queue_id, tasks)
            if name is not None:
                found.add(name)
        return frozenset(found)

    async def _page_waiting(
        self, guard: Guard, query: JobQuery, cursor: _Cursor, jobs: list[JobRecord], limit: int
    ) -> _Cursor:
        """Add what waits to `jobs`, up to `limit`; return where to go on."""
        wanted = {queue_id for queue in query.queues for queue_id in self._target.queue_ids(queue)}
        queue_ids = [
            queue.id for queue in await self._waiting.queues() if not query.queues or queue.id in wanted
        ]
        token = cursor.token or ""
        for queue_id in queue_ids:
            if queue_id < (cursor.queue_id or ""):
                continue
            if queue_id != cursor.queue_id:
                token = ""
            while True:
                # Never more than there is room for: a page of the API cannot be taken up in its middle.
                found, token = await self._waiting.page(queue_id, limit - len(jobs), token)
                now = self._clock.now_ms()
                records = [job.record(now) for job in await never_delivered(guard, found)]
                jobs += [record for record in records if matches(record, query)]
                if not token:
                    break
                if len(jobs) == limit:
                    return _Cursor(queue_id, token)
            if len(jobs) == limit:
                following = [other for other in queue_ids if other > queue_id]
                return _Cursor(following[0], None) if following else _Cursor(None, None)
        return _Cursor(None, None)

    def _is_opaque(self, queue_id: str) -> bool:
        return self._waiting.queue_name(queue_id) is None


async def _kept(guard: Guard, ids: Sequence[JobId]) -> dict[JobId, JobRecord]:
    records = await guard.desk.records(ids)
    return {job_id: record for job_id, record in zip(ids, records, strict=True) if record is not None}


async def never_delivered(guard: Guard, jobs: Sequence[WaitingJob]) -> list[WaitingJob]:
    """Return those that the guard knows nothing of."""
    heard = await guard.desk.known([job.id for job in jobs])
    return [job for job, is_known in zip(jobs, heard, strict=True) if not is_known]


def _write_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(_ENCODE(cursor)).decode().rstrip("=")


def _read_cursor(text: str) -> _Cursor:
    try:
        return _DECODE(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (msgspec.MsgspecError, binascii.Error, UnicodeError, ValueError, RecursionError) as error:
        msg = f"{text!r} is not a cursor of this list: give back the cursor of the page before, with the same query"
        raise ConfigError(msg) from error


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Cursor).decode


class Counting:
    """Counts the jobs of an app."""

    def __init__(  # noqa: PLR0917 - each is a part of the carrier
        self,
        api: Calls,
        target: Target,
        waiting: Waiting,
        inspection: Inspection,
        keeping: Keeping,
        clock: Clock,
    ) -> None:
        self._api = api
        self._target = target
        self._waiting = waiting
        self._inspection = inspection
        self._keeping = keeping
        self._clock = clock

    async def counts(self, queues: Sequence[str] | None) -> list[QueueCounts]:
        """Count by state. Jobs that were never delivered are counted task by task, a thousand a call."""
        guard = await self._keeping.guard("counting jobs")
        counted = {queue: Counter(states) for queue, states in (await guard.desk.counts()).items()}
        await self._follow_the_clock(guard, counted)
        stopped = await self._inspection.paused()
        wanted = None if queues is None else set(queues)
        queue_ids = (
            [queue.id for queue in await self._waiting.queues()]
            if wanted is None
            else [queue_id for queue in wanted for queue_id in self._target.queue_ids(queue)]
        )
        oldest: dict[str, int] = {}
        for queue_id in queue_ids:
            await self._count(guard, queue_id, counted, oldest)
        shown = counted.keys() | stopped if wanted is None else wanted
        return [
            QueueCounts(queue, queue in stopped, dict(counted.get(queue, {})), oldest.get(queue))
            for queue in sorted(shown)
        ]

    async def _follow_the_clock(self, guard: Guard, counted: dict[str, Counter[JobState]]) -> None:
        """What the guard keeps as scheduled may be due by now, or overdue; it hears of it at the delivery."""
        kept = {
            queue: states[JobState.SCHEDULED] + states[JobState.READY] for queue, states in counted.items()
        }
        if not any(kept.values()):
            return
        seen: dict[str, Counter[JobState]] = {}
        after: str | None = None
        while True:
            page = await guard.desk.page(JobQuery(states=_KEPT_WAITING), after=after, limit=_PAGE)
            for job in page.jobs:
                seen.setdefault(job.queue, Counter())[job.state] += 1
            after = page.cursor
            if after is None:
                break
        for queue, number in kept.items():
            states = seen.get(queue, Counter())
            for state in _KEPT_WAITING:
                counted[queue][state] = states[state]
            counted[queue][JobState.EXPIRED] += max(0, number - states.total())

    async def _count(
        self,
        guard: Guard,
        queue_id: str,
        counted: dict[str, Counter[JobState]],
        oldest: dict[str, int],
    ) -> None:
        now = self._clock.now_ms()
        token = ""
        while True:
            tasks, token = await self._api.list_tasks(queue_id, full=False, size=_PAGE, token=token)
            name = self._waiting.queue_name(queue_id, tasks)
            if name is not None:
                for task in await self._never_delivered(guard, tasks):
                    expires = task.headers.get(HEADER_EXPIRES.lower(), "")
                    state = waiting_state(task, int(expires) if expires.isdecimal() else None, now)
                    counted.setdefault(name, Counter())[state] += 1
                    if state is JobState.READY:
                        oldest[name] = min(task.due_ms, oldest.get(name, task.due_ms))
            if not token:
                return

    async def _never_delivered(self, guard: Guard, tasks: Sequence[RemoteTask]) -> list[RemoteTask]:
        """Return the tasks whose jobs the guard knows nothing of, or has not counted."""
        own = [task for task in tasks if self._is_own(task)]
        heard = await guard.desk.known([JobId(task.headers[HEADER_JOB.lower()]) for task in own])
        return [task for task, is_known in zip(own, heard, strict=True) if not is_known]

    def _is_own(self, task: RemoteTask) -> bool:
        """Tell a task of the app that carries a job's first turn: its name is made of both."""
        job_id = task.headers.get(HEADER_JOB.lower(), "")
        return task.id == task_names.task_id(self._target.namespace, job_id, 0)
