"""The records of an app, where it keeps them: jobs found again after their carriers have forgotten them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headway.clock import from_ms, to_ms
from headway.errors import ConfigError
from headway.job import JobId, JobState
from headway.records.query import RecordQuery
from headway.server.instants import Instant
from headway.server.services.problems import CannotError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from headway.records.store import RecordStore
    from headway.records.values import Execution, Happening, RecordedJob
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

_PLAIN = {"priority", "attempt", "crashes", "key", "reason", "headers", "tags", "worker"}


class RecordSearch(Struct, frozen=True, kw_only=True):
    """Which jobs: all given conditions hold; of several states, queues, tasks or carriers any one fits, of tags all.

    `argument` and `header` are written `path=value`; the value of an argument is JSON, or a text. `error` are words of
    the last error, `group` an error group. `since` and `until` bound when the job was enqueued.
    """

    state: tuple[JobState, ...] = ()
    queue: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    carrier: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    argument: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    key: str | None = None
    error: str = ""
    group: str | None = None
    since: Instant | None = None
    until: Instant | None = None


class RecordedJobView(Struct, frozen=True, kw_only=True):
    """A job as the records have it. `arguments` are by name, hidden ones as `***`; null: not recorded."""

    id: str
    task: str
    queue: str
    carrier: str
    state: str
    priority: int
    attempt: int
    crashes: int
    key: str | None
    reason: str
    arguments: dict[str, Any] | None
    headers: dict[str, str]
    tags: tuple[str, ...]
    worker: str | None
    enqueued_at: Instant
    due_at: Instant | None
    started_at: Instant | None
    finished_at: Instant | None
    removed_at: Instant | None
    error_type: str | None
    error_message: str | None
    error_group: str | None
    route_version: int | None


class RecordPageView(Struct, frozen=True):
    """Jobs, the latest enqueued first, and the cursor of the next page; null: those were the last."""

    jobs: list[RecordedJobView]
    cursor: str | None = None


class TimelineView(Struct, frozen=True):
    """All that is recorded of one job: what happened, oldest first, and each attempt."""

    job: RecordedJobView
    happenings: list[dict[str, Any]]
    executions: list[dict[str, Any]]
    logs: list[dict[str, Any]]


class RecordsService:
    """The records of an app; CannotError from each call where it keeps none."""

    def __init__(self, shared: Shared, store: RecordStore | None) -> None:
        """`store` is open."""
        self._shared = shared
        self._store = store

    async def behind(self, caller: Caller) -> dict[str, int | None] | None:
        """Return for how many ms each carrier's events are not recorded; None: never one was.

        Without records it is None, and for a caller who may not see every queue. RecordsUnavailableError while the
        database is away.
        """
        if self._store is None or not caller.scope.everything:
            return None
        now = self._shared.app.clock.now_ms()
        seen = {one.carrier: one.seen_ms for one in await self._store.feeds() if one.seen_ms}
        return {name: max(0, now - seen[name]) if name in seen else None for name in self._shared.carriers}

    async def search(
        self, caller: Caller, search: RecordSearch, *, after: str | None = None, limit: int = 100
    ) -> RecordPageView:
        """Return matching jobs. InvalidError names a condition or cursor that cannot be."""
        query = _query(caller, search)
        if query is None:
            self._kept()
            return RecordPageView([])
        try:
            page = await self._kept().search(query, after=after, limit=limit)
        except (ConfigError, ValueError) as error:
            raise InvalidError(str(error)) from error
        return RecordPageView([_view(one) for one in page.jobs], page.cursor)

    async def timeline(self, caller: Caller, job_id: JobId) -> TimelineView:
        """Return all that is recorded of a job; NotFoundError."""
        found = await self._kept().timeline(job_id)
        if found is None or not caller.scope.has_job(found.job.queue, found.job.task):
            msg = f"job {job_id} is not in the records"
            raise NotFoundError(msg)
        return TimelineView(
            _view(found.job),
            [_happening(one) for one in found.happenings],
            [_execution(one) for one in found.executions],
            [{"at": from_ms(one.at_ms), "level": one.level, "message": one.message} for one in found.logs],
        )

    def _kept(self) -> RecordStore:
        if self._store is None:
            msg = "this app keeps no records: the setting `records` names a database, `headway recorder` writes it"
            raise CannotError(msg)
        return self._store


def _query(caller: Caller, search: RecordSearch) -> RecordQuery | None:
    scope = caller.scope
    queues = tuple(one for one in search.queue or scope.queues if scope.has_queue(one))
    tasks = tuple(one for one in search.task or scope.tasks if not scope.tasks or one in scope.tasks)
    if (search.queue and not queues) or (search.task and not tasks):
        return None
    return RecordQuery(
        tasks=tasks,
        queues=queues,
        carriers=search.carrier,
        states=tuple(str(one) for one in search.state),
        tags=search.tag,
        headers=tuple(_pair(one, "header") for one in search.header),
        arguments=tuple(
            (path, _value(value)) for path, value in (_pair(one, "argument") for one in search.argument)
        ),
        key=search.key,
        error=search.error,
        group=search.group,
        since_ms=None if search.since is None else max(0, to_ms(search.since)),
        until_ms=None if search.until is None else max(0, to_ms(search.until)),
    )


def _pair(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        msg = f"{what}: must be written name=value, got {text[:60]!r}"
        raise InvalidError(msg)
    return name, value


def _value(text: str) -> Any:  # noqa: ANN401 - any value of JSON
    import msgspec  # noqa: PLC0415 - beside its only use

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _at(ms: int | None) -> Any:  # noqa: ANN401 - an instant, or none
    return None if ms is None else from_ms(ms)


def _view(job: RecordedJob) -> RecordedJobView:
    return RecordedJobView(
        id=job.id,
        task=job.task,
        queue=job.queue,
        carrier=job.carrier,
        state=job.state,
        arguments=job.arguments,
        enqueued_at=from_ms(job.enqueued_ms),
        due_at=_at(job.due_ms),
        started_at=_at(job.started_ms),
        finished_at=_at(job.finished_ms),
        removed_at=_at(job.removed_ms),
        error_type=job.error_type,
        error_message=job.error_message,
        error_group=job.error_group,
        route_version=job.route_version,
        **{name: getattr(job, name) for name in sorted(_PLAIN)},
    )


def _happening(one: Happening) -> dict[str, Any]:
    fields = ("kind", "carrier", "epoch", "attempt", "worker", "detail")
    return {"at": from_ms(one.at_ms), **{name: getattr(one, name) for name in fields}}


def _execution(one: Execution) -> dict[str, Any]:
    fields = (
        "epoch", "carrier", "attempt", "worker", "outcome",
        "error_type", "error_message", "error_traceback", "error_group",
    )  # fmt: skip
    instants = {name: _at(getattr(one, f"{name}_ms")) for name in ("due", "started", "ended", "superseded")}
    return {name: getattr(one, name) for name in fields} | {f"{name}_at": at for name, at in instants.items()}
