"""A carrier around a carrier: the base of those that tests put between an app and the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeVar

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from types import TracebackType

    from headway.brokers.base import (
        CancelResult,
        Capabilities,
        Carrier,
        Claimed,
        Enqueued,
        Heartbeat,
        JobPage,
        JobQuery,
        LogLine,
        MadeSchedule,
        QueueCounts,
        QueueWant,
        Report,
        ScheduleRecord,
        Settlement,
        SettleResult,
        Signal,
        Tended,
        WorkerRecord,
    )
    from headway.events import Event
    from headway.job import Fire, JobId, JobRecord, JobState, NewJob, WorkerId

    T = TypeVar("T")

Verb = Literal[
    "cancel",
    "claim",
    "clean",
    "counts",
    "declare_schedules",
    "drain",
    "drain_worker",
    "enqueue",
    "events",
    "events_end",
    "events_kept",
    "get",
    "heartbeat",
    "list",
    "logs",
    "made_schedules",
    "open",
    "pause",
    "pause_schedule",
    "paused",
    "promote",
    "remove",
    "report",
    "resume",
    "retry",
    "schedules",
    "settle",
    "signals",
    "skip_fire",
    "surrender",
    "tend",
    "wait_finished",
    "workers",
    "write_schedule",
]
"""The calls of a carrier that a test can count, delay and fail."""


class CarrierWrapper:
    """Passes every call on to `inner`. Subclasses override `around`, which every call goes through, or single calls."""

    def __init__(self, inner: Carrier) -> None:
        self.inner = inner

    async def around(self, _verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call; overridden to do something before or after it."""
        return await call()

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner carrier, but for what would pass by this one."""
        return self.inner.capabilities.parts_of(self)

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def __repr__(self) -> str:
        """Show what is inside."""
        return f"<{type(self).__name__} around {self.inner!r}>"

    # The calls below are documented in headway.brokers.base.

    async def open(self) -> None:
        """See Broker."""
        await self.around("open", self.inner.open)

    async def close(self) -> None:
        """See Broker; never failed or delayed, so that nothing leaks."""
        await self.inner.close()

    async def enqueue(self, jobs: Sequence[NewJob]) -> builtins.list[Enqueued]:
        """See Broker."""
        return await self.around("enqueue", lambda: self.inner.enqueue(jobs))

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> builtins.list[CancelResult]:
        """See Broker."""
        return await self.around("cancel", lambda: self.inner.cancel(ids, reason))

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """See Broker."""
        return await self.around("wait_finished", lambda: self.inner.wait_finished(job_id, timeout_ms))

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """See PullBroker."""
        return await self.around(
            "claim", lambda: self.inner.claim(wants, worker=worker, limit=limit, lease_ms=lease_ms)
        )

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> builtins.list[Heartbeat]:
        """See PullBroker."""
        return await self.around("heartbeat", lambda: self.inner.heartbeat(workers, lease_ms))

    async def settle(self, items: Sequence[Settlement]) -> builtins.list[SettleResult]:
        """See PullBroker."""
        return await self.around("settle", lambda: self.inner.settle(items))

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        """See PullBroker."""
        return await self.around(
            "surrender", lambda: self.inner.surrender(worker, started=started, forget=forget)
        )

    async def report(self, reports: Sequence[Report]) -> builtins.list[SettleResult]:
        """See PullBroker."""
        return await self.around("report", lambda: self.inner.report(reports))

    async def tend(self) -> Tended:
        """See PullBroker."""
        return await self.around("tend", self.inner.tend)

    async def drain_worker(self, worker: WorkerId) -> bool:
        """See PullBroker."""
        return await self.around("drain_worker", lambda: self.inner.drain_worker(worker))

    def signals(self, worker: WorkerId, *, handed: bool = False) -> AsyncIterator[Signal]:
        """See PullBroker."""
        return self._stream("signals", self.inner.signals(worker, handed=handed))

    async def get(self, ids: Sequence[JobId]) -> builtins.list[JobRecord | None]:
        """See Inspector."""
        return await self.around("get", lambda: self.inner.get(ids))

    async def logs(self, job_id: JobId) -> builtins.list[LogLine]:
        """See Inspector."""
        return await self.around("logs", lambda: self.inner.logs(job_id))

    async def list(self, query: JobQuery, *, after: str | None = None, limit: int = 100) -> JobPage:
        """See Inspector."""
        return await self.around("list", lambda: self.inner.list(query, after=after, limit=limit))

    async def counts(self, queues: Sequence[str] | None = None) -> builtins.list[QueueCounts]:
        """See Inspector."""
        return await self.around("counts", lambda: self.inner.counts(queues))

    async def pause(self, queue: str) -> None:
        """See Inspector."""
        await self.around("pause", lambda: self.inner.pause(queue))

    async def resume(self, queue: str) -> None:
        """See Inspector."""
        await self.around("resume", lambda: self.inner.resume(queue))

    async def paused(self) -> frozenset[str]:
        """See Inspector."""
        return await self.around("paused", self.inner.paused)

    async def remove(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """See Inspector."""
        return await self.around("remove", lambda: self.inner.remove(ids))

    async def retry(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """See Inspector."""
        return await self.around("retry", lambda: self.inner.retry(ids))

    async def promote(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """See Inspector."""
        return await self.around("promote", lambda: self.inner.promote(ids))

    async def drain(self, queue: str) -> int:
        """See Inspector."""
        return await self.around("drain", lambda: self.inner.drain(queue))

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """See Inspector."""
        return await self.around(
            "clean",
            lambda: self.inner.clean(state, older_than_ms=older_than_ms, queue=queue, limit=limit),
        )

    async def workers(self) -> builtins.list[WorkerRecord]:
        """See Inspector."""
        return await self.around("workers", self.inner.workers)

    async def events_end(self) -> str:
        """See Inspector."""
        return await self.around("events_end", self.inner.events_end)

    async def events_kept(self, after: str) -> bool:
        """See Inspector."""
        return await self.around("events_kept", lambda: self.inner.events_kept(after))

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """See Inspector. The inner iterator is made here and now: events count from the call on."""
        return self._stream("events", self.inner.events(after))

    async def declare_schedules(self, schedules: Sequence[ScheduleRecord], /) -> None:
        """See ScheduleStore."""
        await self.around("declare_schedules", lambda: self.inner.declare_schedules(schedules))

    async def schedules(self) -> builtins.list[ScheduleRecord]:
        """See ScheduleStore."""
        return await self.around("schedules", self.inner.schedules)

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """See ScheduleStore."""
        return await self.around("pause_schedule", lambda: self.inner.pause_schedule(name, paused=paused))

    async def skip_fire(self, fire: Fire) -> None:
        """See ScheduleStore."""
        await self.around("skip_fire", lambda: self.inner.skip_fire(fire))

    async def made_schedules(self) -> builtins.list[MadeSchedule]:
        """See ScheduleStore."""
        return await self.around("made_schedules", self.inner.made_schedules)

    async def write_schedule(self, made: MadeSchedule, /, *, expected: int) -> bool:
        """See ScheduleStore."""
        return await self.around("write_schedule", lambda: self.inner.write_schedule(made, expected=expected))

    async def _stream(self, verb: Verb, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """Pass a stream on; each item is a call, so that a test can break the stream at any of them."""
        try:
            while True:
                try:
                    item = await self.around(verb, lambda: anext(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()
