"""The async client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from msgspec import Struct

from headway.client.calling import Calling
from headway.client.events import events
from headway.client.values import Acted, BulkCreated, Created, Event, Job, JobPage, Queue, Result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    import httpx

    from headway.job import JobState

_LONGEST_WAIT = 60.0  # seconds of one call; the server waits no longer
Document = dict[str, Any]


class Client:
    """Calls a Headway server. An async context manager.

    Each method raises ApiError when the server refuses, with `status`, `kind` and `detail`, and ApiUnavailableError
    when it cannot be reached. A call is sent again where that is safe: what makes something has an idempotency key.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        attempts: int = 4,
        timeout: float = 30.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`timeout`: seconds for one answer. `http` stands in for a pool of its own; it is not closed then."""
        self._calling = Calling(url, key, attempts=attempts, timeout=timeout, http=http)
        self._call = self._calling.call

    async def open(self) -> Self:
        """Open; each call needs its `close`."""
        await self._calling.open()
        return self

    async def close(self) -> None:
        """Close the connections."""
        await self._calling.close()

    async def __aenter__(self) -> Self:
        """Open."""
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def create(
        self,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,  # noqa: ANN401 - those of the job: delay, at, priority, queue, key, headers, timeout, expires
    ) -> Created:
        """Create a job by the name of its task; `options` are those of `task.options`."""
        body = create_body(task, args, kwargs, options)
        return await self._call("POST", "/v1/jobs", Created, body=body, idempotency_key=idempotency_key)

    async def create_many(
        self, jobs: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> BulkCreated:
        """Create up to 10,000 jobs, each as `{"task": ..., "args": [...], "kwargs": {...}, "options": {...}}`."""
        body = {"jobs": list(jobs)}
        return await self._call(
            "POST", "/v1/jobs/bulk", BulkCreated, body=body, idempotency_key=idempotency_key
        )

    async def http_job(
        self,
        method: str,
        url: str,
        *,
        idempotency_key: str | None = None,
        options: Mapping[str, Any] | None = None,
        **request: Any,  # noqa: ANN401 - headers, body, json, timeout and what else a request has
    ) -> Created:
        """Create a job that is an HTTP call; `request` is what `headway.http.HttpCall` takes."""
        body = {"method": method, "url": url, **request, **({"options": dict(options)} if options else {})}
        return await self._call("POST", "/v1/http-jobs", Created, body=body, idempotency_key=idempotency_key)

    async def job(self, job_id: str) -> Job:
        """Return one job."""
        return await self._call("GET", f"/v1/jobs/{part(job_id)}", Job)

    async def jobs(self, *, after: str | None = None, limit: int = 100, **where: Any) -> JobPage:  # noqa: ANN401 - conditions
        """Return a page of jobs; `where` has `state`, `queue`, `task`, `tag` (one or several) and `search`."""
        return await self._call("GET", "/v1/jobs", JobPage, query={**where, "after": after, "limit": limit})

    async def all_jobs(self, **where: Any) -> AsyncIterator[Job]:  # noqa: ANN401 - as `jobs`
        """Yield all matching jobs, page by page."""
        after: str | None = None
        while True:
            page = await self.jobs(after=after, limit=1000, **where)
            for one in page.jobs:
                yield one
            if page.cursor is None:
                return
            after = page.cursor

    async def wait(self, job_id: str, timeout: float = 60.0) -> Job:  # noqa: ASYNC109 - the server's own wait
        """Wait for so many seconds until a job has ended, and return it as it is then."""
        left = timeout
        while True:
            some = min(left, _LONGEST_WAIT)
            query = {"timeout": f"{some:.3f}s"}
            found = await self._call("GET", f"/v1/jobs/{part(job_id)}/wait", Job, query=query, wait=some)
            left -= some
            if found.state.terminal or left <= 0:
                return found

    async def result(self, job_id: str, timeout: float = 0.0) -> Result:  # noqa: ASYNC109 - as `wait`
        """Return how a job ended, once it has; ApiError with status 409 when it has not in time."""
        if timeout:
            await self.wait(job_id, timeout)
        return await self._call("GET", f"/v1/jobs/{part(job_id)}/result", Result)

    async def logs(self, job_id: str) -> list[Document]:
        """Return what the job's handler logged."""
        return list((await self._call("GET", f"/v1/jobs/{part(job_id)}/logs", Document))["lines"])

    async def timeline(self, job_id: str) -> Document:
        """Return all that the records have of a job."""
        return await self._call("GET", f"/v1/jobs/{part(job_id)}/timeline", Document)

    async def cancel(self, job_id: str, reason: str = "") -> Acted:
        """Cancel a job: at once when it waits, a running one is asked."""
        return await self._act(job_id, "cancel", reason)

    async def retry(self, job_id: str, reason: str = "") -> Acted:
        """Give a failed, cancelled or expired job a new life."""
        return await self._act(job_id, "retry", reason)

    async def promote(self, job_id: str, reason: str = "") -> Acted:
        """Make a scheduled job ready now."""
        return await self._act(job_id, "promote", reason)

    async def remove(self, job_id: str) -> Acted:
        """Forget a job that does not run."""
        return await self._call("DELETE", f"/v1/jobs/{part(job_id)}", Acted)

    async def change(self, job_id: str, **changes: Any) -> Job:  # noqa: ANN401 - priority, due_at
        """Change the `priority` or the `due_at` (None: now) of a job that waits."""
        return await self._call("PATCH", f"/v1/jobs/{part(job_id)}", Job, body=changes)

    async def act_on(self, act: str, ids: Sequence[str], reason: str = "") -> list[Acted]:
        """Do `cancel`, `retry`, `promote` or `remove` to up to 1,000 jobs; told for each."""
        body = {"act": act, "ids": list(ids), "reason": reason}
        answer = await self._call("POST", "/v1/jobs/batch", _Batch, body=body)
        return answer.jobs

    async def act_on_all(self, act: str, *, dry_run: bool = False, **where: Any) -> Document:  # noqa: ANN401 - as `jobs`
        """Begin to do something to all jobs that match, in the server; `act` and `dry_run` as there."""
        query = {
            name: [value] if isinstance(value, str) and name not in _ALONE else value
            for name, value in where.items()
        }
        return await self._call(
            "POST", "/v1/acts", Document, body={"act": act, "query": query, "dry_run": dry_run}
        )

    async def act(self, act_id: str) -> Document:
        """Return an act on many jobs with its progress."""
        return await self._call("GET", f"/v1/acts/{part(act_id)}", Document)

    async def cancel_act(self, act_id: str) -> Document:
        """End an act before its next page."""
        return await self._call("POST", f"/v1/acts/{part(act_id)}/cancel", Document)

    # --- queues -------------------------------------------------------------------------------------------------

    async def queues(self) -> list[Queue]:
        """Return the queues."""
        return (await self._call("GET", "/v1/queues", _Queues)).queues

    async def queue(self, name: str) -> Queue:
        """Return one queue."""
        return await self._call("GET", f"/v1/queues/{part(name)}", Queue)

    async def pause(self, name: str, until: datetime | None = None) -> Queue:
        """Pause a queue, until it is resumed or until an instant."""
        return await self._call("POST", f"/v1/queues/{part(name)}/pause", Queue, body={"until": until})

    async def resume(self, name: str) -> Queue:
        """Resume a queue."""
        return await self._call("POST", f"/v1/queues/{part(name)}/resume", Queue)

    async def drain(self, name: str) -> int:
        """Remove all jobs that wait in a queue; return how many."""
        return int((await self._call("POST", f"/v1/queues/{part(name)}/drain", Document))["removed"])

    async def clean(self, name: str, state: JobState | str, older_than: str = "0") -> int:
        """Remove jobs of a queue that ended in a state longer ago than that; return how many, at most 10,000."""
        body = {"state": state, "older_than": older_than}
        return int(
            (await self._call("POST", f"/v1/queues/{part(name)}/clean", Document, body=body))["removed"]
        )

    # --- the rest -----------------------------------------------------------------------------------------------

    async def schedules(self) -> list[Document]:
        """Return the schedules."""
        return list((await self._call("GET", "/v1/schedules", Document))["schedules"])

    async def create_schedule(
        self,
        name: str,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        paused: bool = False,
        **when: Any,  # noqa: ANN401 - cron, every, timezone, catch_up, first_fire, until
    ) -> Document:
        """Make a schedule at run time; `when` as `app.schedules.create` takes it, `options` those of its jobs."""
        job = create_body(task, args, kwargs, options or {})
        body = {"name": name, "job": job, "when": when, "paused": paused}
        return await self._call("POST", "/v1/schedules", Document, body=body)

    async def change_schedule(self, name: str, **when: Any) -> Document:  # noqa: ANN401 - as above
        """Change when a schedule fires that was made at run time."""
        return await self._call("PATCH", f"/v1/schedules/{part(name)}", Document, body={"when": when})

    async def delete_schedule(self, name: str) -> Document:
        """Delete a schedule made at run time."""
        return await self._call("DELETE", f"/v1/schedules/{part(name)}", Document)

    async def act_on_schedule(self, name: str, act: str) -> Document:
        """Do `pause`, `resume` or `run` to a schedule."""
        return await self._call("POST", f"/v1/schedules/{part(name)}/{part(act)}", Document)

    async def workers(self) -> list[Document]:
        """Return the workers."""
        return list((await self._call("GET", "/v1/workers", Document))["workers"])

    async def drain_worker(self, worker: str) -> Document:
        """Ask a worker to claim no more, finish what it runs, and end; its supervisor starts another one."""
        return await self._call("POST", f"/v1/workers/{part(worker)}/drain", Document)

    async def tasks(self) -> list[Document]:
        """Return the tasks, with the JSON Schema of their arguments."""
        return list((await self._call("GET", "/v1/tasks", Document))["tasks"])

    async def failures(self, **where: Any) -> Document:  # noqa: ANN401 - queue, task
        """Return failed jobs by error group."""
        return await self._call("GET", "/v1/failures", Document, query=where)

    async def figures(self, **where: Any) -> Document:  # noqa: ANN401 - since, until, span, queue, by
        """Return what became of jobs, per span of time."""
        return await self._call("GET", "/v1/figures", Document, query=where)

    async def records(self, **where: Any) -> Document:  # noqa: ANN401 - the conditions of `/v1/records`
        """Search the records."""
        return await self._call("GET", "/v1/records", Document, query=where)

    async def routes(self) -> Document:
        """Return which carriers take the jobs of each queue."""
        return await self._call("GET", "/v1/routes", Document)

    async def set_route(
        self,
        queue: str,
        weights: Mapping[str, int] | None = None,
        by: str | None = None,
        reason: str = "",
        *,
        shadow: str | None = None,
    ) -> Document:
        """Set the route of a queue, in whole percent; without weights as the settings declare it.

        `shadow` is what is copied to another carrier, such as `push=5`, or `none`; alone it leaves the weights.
        """
        body = {"weights": weights, "by": by, "shadow": shadow, "reason": reason}
        return await self._call("PUT", f"/v1/routes/{part(queue)}", Document, body=body, wait=10.0)

    async def rollouts(self) -> list[Document]:
        """Return the roll-outs that are under way."""
        return list((await self._call("GET", "/v1/rollouts", Document))["rollouts"])

    async def migrations(self) -> list[Document]:
        """Return the migrations into the app, the one that was worked on last first."""
        return list((await self._call("GET", "/v1/migrations", Document))["migrations"])

    async def migration(self, migration_id: str) -> Document:
        """Return one migration: its rows, refusals, runs, verdict, and what to do next."""
        return await self._call("GET", f"/v1/migrations/{part(migration_id)}", Document)

    async def audit(self, *, after: str | None = None, limit: int = 100, **where: Any) -> Document:  # noqa: ANN401 - who, act, subject
        """Return a page of the audit log, the latest change first."""
        return await self._call("GET", "/v1/audit", Document, query={**where, "after": after, "limit": limit})

    async def keys(self) -> list[Document]:
        """Return the API keys, without their secrets."""
        return list((await self._call("GET", "/v1/keys", Document))["keys"])

    async def create_key(self, name: str, role: str, **more: Any) -> Document:  # noqa: ANN401 - queues, tasks, expires_at, rate
        """Make a key: its text is `key` of the answer."""
        return await self._call("POST", "/v1/keys", Document, body={"name": name, "role": role, **more})

    async def rotate_key(self, key_id: str, grace: str = "24h") -> Document:
        """Give a key a new secret."""
        return await self._call("POST", f"/v1/keys/{part(key_id)}/rotate", Document, body={"grace": grace})

    async def revoke_key(self, key_id: str) -> Document:
        """End a key."""
        return await self._call("DELETE", f"/v1/keys/{part(key_id)}", Document)

    async def me(self) -> Document:
        """Return who this client's key is."""
        return await self._call("GET", "/v1/me", Document)

    def events(self, *, after: str = "", **where: Any) -> AsyncIterator[Event]:  # noqa: ANN401 - topic, queue, kind, job
        """Yield live events without end, resumed behind the last one when the connection ends."""
        return events(self._calling, where, after)

    async def _act(self, job_id: str, act: str, reason: str) -> Acted:
        body = {"reason": reason}
        return await self._call("POST", f"/v1/jobs/{part(job_id)}/{act}", Acted, body=body)


_ALONE = frozenset({"search", "group"})


class _Batch(Struct, frozen=True):
    jobs: list[Acted]


class _Queues(Struct, frozen=True):
    queues: list[Queue]


def part(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")


def create_body(
    task: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of a job that is to be created."""
    body: dict[str, Any] = {"task": task}
    if args:
        body["args"] = list(args)
    if kwargs:
        body["kwargs"] = dict(kwargs)
    if options:
        body["options"] = dict(options)
    return body
