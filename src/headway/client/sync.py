"""The blocking twin of the client: the same methods, for code without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from headway.app.portal import Portal
from headway.client.client import Client, Document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    from headway.client.values import Acted, BulkCreated, Created, Event, Job, JobPage, Queue, Result
    from headway.job import JobState


class SyncClient:
    """Calls a Headway server from blocking code; see `Client`. A context manager; safe to use from several threads."""

    def __init__(self, url: str, key: str | None = None, *, attempts: int = 4, timeout: float = 30.0) -> None:
        """As `Client`; a thread with an event loop makes the calls, from the first one on."""
        self._own = Client(url, key, attempts=attempts, timeout=timeout)
        self._portal = Portal(self._own.open, self._own.close)

    def close(self) -> None:
        """Close the connections, and end the thread."""
        self._portal.close()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def create(
        self,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,  # noqa: ANN401 - as `Client`
    ) -> Created:
        """See `Client.create`."""
        return self._portal.call(
            self._own.create, task, args, kwargs, idempotency_key=idempotency_key, **options
        )

    def create_many(
        self, jobs: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> BulkCreated:
        """See `Client.create_many`."""
        return self._portal.call(self._own.create_many, jobs, idempotency_key=idempotency_key)

    def http_job(
        self,
        method: str,
        url: str,
        *,
        idempotency_key: str | None = None,
        options: Mapping[str, Any] | None = None,
        **request: Any,  # noqa: ANN401 - as `Client`
    ) -> Created:
        """See `Client.http_job`."""
        return self._portal.call(
            self._own.http_job, method, url, idempotency_key=idempotency_key, options=options, **request
        )

    def job(self, job_id: str) -> Job:
        """See `Client.job`."""
        return self._portal.call(self._own.job, job_id)

    def jobs(self, *, after: str | None = None, limit: int = 100, **where: Any) -> JobPage:  # noqa: ANN401 - as `Client`
        """See `Client.jobs`."""
        return self._portal.call(self._own.jobs, after=after, limit=limit, **where)

    def wait(self, job_id: str, timeout: float = 60.0) -> Job:
        """See `Client.wait`."""
        return self._portal.call(self._own.wait, job_id, timeout)

    def result(self, job_id: str, timeout: float = 0.0) -> Result:
        """See `Client.result`."""
        return self._portal.call(self._own.result, job_id, timeout)

    def logs(self, job_id: str) -> list[Document]:
        """See `Client.logs`."""
        return self._portal.call(self._own.logs, job_id)

    def timeline(self, job_id: str) -> Document:
        """See `Client.timeline`."""
        return self._portal.call(self._own.timeline, job_id)

    def cancel(self, job_id: str, reason: str = "") -> Acted:
        """See `Client.cancel`."""
        return self._portal.call(self._own.cancel, job_id, reason)

    def retry(self, job_id: str, reason: str = "") -> Acted:
        """See `Client.retry`."""
        return self._portal.call(self._own.retry, job_id, reason)

    def promote(self, job_id: str, reason: str = "") -> Acted:
        """See `Client.promote`."""
        return self._portal.call(self._own.promote, job_id, reason)

    def remove(self, job_id: str) -> Acted:
        """See `Client.remove`."""
        return self._portal.call(self._own.remove, job_id)

    def change(self, job_id: str, **changes: Any) -> Job:  # noqa: ANN401 - as `Client`
        """See `Client.change`."""
        return self._portal.call(self._own.change, job_id, **changes)

    def act_on(self, act: str, ids: Sequence[str], reason: str = "") -> list[Acted]:
        """See `Client.act_on`."""
        return self._portal.call(self._own.act_on, act, ids, reason)

    def act_on_all(self, act: str, *, dry_run: bool = False, **where: Any) -> Document:  # noqa: ANN401 - as `Client`
        """See `Client.act_on_all`."""
        return self._portal.call(self._own.act_on_all, act, dry_run=dry_run, **where)

    def act(self, act_id: str) -> Document:
        """See `Client.act`."""
        return self._portal.call(self._own.act, act_id)

    def cancel_act(self, act_id: str) -> Document:
        """See `Client.cancel_act`."""
        return self._portal.call(self._own.cancel_act, act_id)

    def queues(self) -> list[Queue]:
        """See `Client.queues`."""
        return self._portal.call(self._own.queues)

    def queue(self, name: str) -> Queue:
        """See `Client.queue`."""
        return self._portal.call(self._own.queue, name)

    def pause(self, name: str, until: datetime | None = None) -> Queue:
        """See `Client.pause`."""
        return self._portal.call(self._own.pause, name, until)

    def resume(self, name: str) -> Queue:
        """See `Client.resume`."""
        return self._portal.call(self._own.resume, name)

    def drain(self, name: str) -> int:
        """See `Client.drain`."""
        return self._portal.call(self._own.drain, name)

    def clean(self, name: str, state: JobState | str, older_than: str = "0") -> int:
        """See `Client.clean`."""
        return self._portal.call(self._own.clean, name, state, older_than)

    def schedules(self) -> list[Document]:
        """See `Client.schedules`."""
        return self._portal.call(self._own.schedules)

    def create_schedule(
        self,
        name: str,
        task: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        paused: bool = False,
        **when: Any,  # noqa: ANN401 - as `Client`
    ) -> Document:
        """See `Client.create_schedule`."""
        return self._portal.call(
            self._own.create_schedule, name, task, args, kwargs, options=options, paused=paused, **when
        )

    def change_schedule(self, name: str, **when: Any) -> Document:  # noqa: ANN401 - as `Client`
        """See `Client.change_schedule`."""
        return self._portal.call(self._own.change_schedule, name, **when)

    def delete_schedule(self, name: str) -> Document:
        """See `Client.delete_schedule`."""
        return self._portal.call(self._own.delete_schedule, name)

    def act_on_schedule(self, name: str, act: str) -> Document:
        """See `Client.act_on_schedule`."""
        return self._portal.call(self._own.act_on_schedule, name, act)

    def workers(self) -> list[Document]:
        """See `Client.workers`."""
        return self._portal.call(self._own.workers)

    def drain_worker(self, worker: str) -> Document:
        """See `Client.drain_worker`."""
        return self._portal.call(self._own.drain_worker, worker)

    def tasks(self) -> list[Document]:
        """See `Client.tasks`."""
        return self._portal.call(self._own.tasks)

    def failures(self, **where: Any) -> Document:  # noqa: ANN401 - as `Client`
        """See `Client.failures`."""
        return self._portal.call(self._own.failures, **where)

    def figures(self, **where: Any) -> Document:  # noqa: ANN401 - as `Client`
        """See `Client.figures`."""
        return self._portal.call(self._own.figures, **where)

    def records(self, **where: Any) -> Document:  # noqa: ANN401 - as `Client`
        """See `Client.records`."""
        return self._portal.call(self._own.records, **where)

    def routes(self) -> Document:
        """See `Client.routes`."""
        return self._portal.call(self._own.routes)

    def set_route(
        self,
        queue: str,
        weights: Mapping[str, int] | None = None,
        by: str | None = None,
        reason: str = "",
        *,
        shadow: str | None = None,
    ) -> Document:
        """See `Client.set_route`."""
        return self._portal.call(self._own.set_route, queue, weights, by, reason, shadow=shadow)

    def rollouts(self) -> list[Document]:
        """See `Client.rollouts`."""
        return self._portal.call(self._own.rollouts)

    def migrations(self) -> list[Document]:
        """See `Client.migrations`."""
        return self._portal.call(self._own.migrations)

    def migration(self, migration_id: str) -> Document:
        """See `Client.migration`."""
        return self._portal.call(self._own.migration, migration_id)

    def audit(self, *, after: str | None = None, limit: int = 100, **where: Any) -> Document:  # noqa: ANN401 - as `Client`
        """See `Client.audit`."""
        return self._portal.call(self._own.audit, after=after, limit=limit, **where)

    def keys(self) -> list[Document]:
        """See `Client.keys`."""
        return self._portal.call(self._own.keys)

    def create_key(self, name: str, role: str, **more: Any) -> Document:  # noqa: ANN401 - as `Client`
        """See `Client.create_key`."""
        return self._portal.call(self._own.create_key, name, role, **more)

    def rotate_key(self, key_id: str, grace: str = "24h") -> Document:
        """See `Client.rotate_key`."""
        return self._portal.call(self._own.rotate_key, key_id, grace)

    def revoke_key(self, key_id: str) -> Document:
        """See `Client.revoke_key`."""
        return self._portal.call(self._own.revoke_key, key_id)

    def me(self) -> Document:
        """See `Client.me`."""
        return self._portal.call(self._own.me)

    def all_jobs(self, **where: Any) -> Iterator[Job]:  # noqa: ANN401 - as `Client`
        """See `Client.all_jobs`."""
        return self._each(self._own.all_jobs(**where))

    def events(self, *, after: str = "", **where: Any) -> Iterator[Event]:  # noqa: ANN401 - as `Client`
        """See `Client.events`."""
        return self._each(self._own.events(after=after, **where))

    def _each(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> tuple[Any] | None:
            async for one in items:
                return (one,)
            return None

        while (found := self._portal.call(following)) is not None:
            yield found[0]
