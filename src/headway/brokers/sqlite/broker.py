"""The carrier itself: each method hands one operation to the thread that writes or to the one that reads."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from headway.brokers.base import BrokerSettings, CancelRequested, Capabilities, Settlement, Wake
from headway.brokers.sqlite import claim, enqueue, inspect, manage, schedule_store, settle, streams, upkeep
from headway.brokers.sqlite.connection import check_library
from headway.brokers.sqlite.listeners import Listeners, signal_of
from headway.brokers.sqlite.location import parse
from headway.brokers.sqlite.schema import RUNNING
from headway.brokers.sqlite.threads import Reader, Writer
from headway.brokers.sqlite.transitions import take_back
from headway.brokers.sqlite.watcher import SignalRow, Watcher
from headway.clock import SystemClock
from headway.errors import BrokerUnavailableError, ConfigError
from headway.events import EventKind
from headway.job import Released

if TYPE_CHECKING:
    import builtins
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType
    from typing import TypeVar

    from headway.brokers.base import (
        CancelResult,
        Claimed,
        Enqueued,
        Heartbeat,
        JobPage,
        JobQuery,
        LogLine,
        QueueCounts,
        QueueWant,
        Report,
        ScheduleRecord,
        SettleResult,
        Signal,
        Tended,
        WorkerRecord,
    )
    from headway.brokers.sqlite.location import Location
    from headway.brokers.sqlite.transaction import Transaction
    from headway.clock import Clock
    from headway.events import Event
    from headway.job import Fire, JobId, JobRecord, JobState, NewJob, WorkerId

    T = TypeVar("T")

_EVENTS_STEP = 500


class _Open:
    """What an open carrier has and a closed one has not."""

    def __init__(self, location: Location, settings: BrokerSettings, clock: Clock) -> None:
        self.writer = Writer(location, settings, clock, self._nudge)
        self.reader = Reader(location)
        self.listeners = Listeners(self._want, self._recheck)
        self.watcher: Watcher | None = None
        self._location = location
        self._checks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self.writer.start()
        await self.reader.start()
        self.watcher = Watcher(
            self._location, self.writer.app, asyncio.get_running_loop(), self.listeners.report
        )

    async def stop(self) -> None:
        self.listeners.close()
        await self.writer.stop()
        await self.reader.stop()
        if self.watcher is not None and (thread := self.watcher.stop()) is not None:
            await asyncio.get_running_loop().run_in_executor(None, thread.join)

    def _nudge(self) -> None:
        if self.watcher is not None:
            self.watcher.nudge()

    def _want(self, *, wanted: bool) -> None:
        if self.watcher is not None:
            self.watcher.want(wanted=wanted)

    def _recheck(self) -> None:
        task = asyncio.get_running_loop().create_task(self._check())
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _check(self) -> None:
        ids, app = self.listeners.waited_for, self.writer.app
        with suppress(BrokerUnavailableError):  # closing: everybody has been let go
            self.listeners.ended(await self.reader.submit(lambda db: streams.ended(db, app, ids)))


class SqliteBroker:
    """A file in WAL mode. Every process that opens it must be on the same machine.

    A Wake goes to each idle worker of the app in every process, not to one: a claim that finds nothing costs
    little here.
    """

    def __init__(self, url: str, settings: BrokerSettings, *, clock: Clock | None = None) -> None:
        """Read the URL; nothing is opened yet. ConfigError."""
        check_library()
        self._location = parse(url)
        self._settings = settings
        self._clock = SystemClock() if clock is None else clock
        self._state: _Open | None = None
        self._switch = asyncio.Lock()

    def __repr__(self) -> str:
        """Name the file and the app."""
        return f"<SqliteBroker {self._location.name} namespace={self._settings.namespace!r}>"

    @property
    def capabilities(self) -> Capabilities:
        """Everything, without a horizon of delay."""
        return Capabilities(name="sqlite")

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def open(self) -> None:
        """Open the file, creating or upgrading it. Opening an open carrier does nothing."""
        async with self._switch:
            if self._state is not None:
                return
            state = _Open(self._location, self._settings, self._clock)
            try:
                await state.start()
            except BaseException:
                await state.stop()
                raise
            self._state = state

    async def close(self) -> None:
        """Finish what was queued and close the file. Closing a closed carrier does nothing."""
        async with self._switch:
            state, self._state = self._state, None
            if state is not None:
                await asyncio.shield(state.stop())

    @property
    def _opened(self) -> _Open:
        if self._state is None:
            msg = f"{self._location.name}: the carrier is not open; use `async with`, or call open() first"
            raise BrokerUnavailableError(msg)
        return self._state

    def _write(self, operation: Callable[[Transaction], T]) -> asyncio.Future[T]:
        return self._opened.writer.submit(operation)

    def _read(self, operation: Callable[[sqlite3.Connection, int], T]) -> asyncio.Future[T]:
        opened = self._opened
        app = opened.writer.app
        return opened.reader.submit(lambda db: operation(db, app))

    async def enqueue(self, jobs: Sequence[NewJob]) -> builtins.list[Enqueued]:
        """Accept the jobs in one transaction."""
        jobs = list(jobs)
        return await self._write(lambda tx: enqueue.enqueue(tx, jobs)) if jobs else []

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """Hand out ready jobs; a worker that got fewer than it could take is idle until its next Wake."""
        answers: list[tuple[Claimed, int]] = []

        def operation(tx: Transaction) -> None:
            answers.append((claim.claim(tx, wants, worker, limit, lease_ms), tx.wake))

        opened = self._opened
        try:
            await opened.writer.submit(operation)
        except asyncio.CancelledError:
            # Nobody will run what this claim took: hand it back, behind it in the writer's queue.
            with suppress(BrokerUnavailableError):
                undone = opened.writer.submit(lambda tx: _undo(tx, answers))
                undone.add_done_callback(_seen)
            raise
        claimed, wake = answers[0]
        if len(claimed.deliveries) < limit:
            opened.listeners.idle(worker, wake)
        else:
            opened.listeners.busy(worker)
        return claimed

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> builtins.list[Heartbeat]:
        """Extend the leases of these workers."""
        return await self._write(lambda tx: claim.heartbeat(tx, workers, lease_ms))

    async def settle(self, items: Sequence[Settlement]) -> builtins.list[SettleResult]:
        """Apply outcomes in one transaction."""
        items = list(items)
        return await self._write(lambda tx: settle.settle(tx, items)) if items else []

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        """Take back what a dead worker holds. Whoever started counts as reclaimed, the others as released."""
        crashed = None if started is None else frozenset[str](started)
        if forget and self._state is not None:
            self._state.listeners.busy(worker)
        return await self._write(lambda tx: take_back(tx, worker, crashed, EventKind.RECLAIMED))

    async def report(self, reports: Sequence[Report]) -> builtins.list[SettleResult]:
        """Record progress and log lines."""
        reports = list(reports)
        return await self._write(lambda tx: settle.report(tx, reports)) if reports else []

    async def tend(self) -> Tended:
        """One round of maintenance."""
        return await self._write(upkeep.tend)

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> builtins.list[CancelResult]:
        """Cancel waiting jobs, ask the workers of running ones."""
        ids = list(ids)
        return await self._write(lambda tx: manage.cancel(tx, ids, reason)) if ids else []

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait until the job is terminal, or gone, or the time is over; return its record as it is then."""
        listeners = self._opened.listeners
        with listeners.waiting(job_id) as ended:
            (record,) = await self.get([job_id])
            if record is None or record.state.terminal:
                return record
            with suppress(TimeoutError):
                await asyncio.wait_for(ended, None if timeout_ms is None else timeout_ms / 1000)
        (record,) = await self.get([job_id])
        return record

    async def signals(self, worker: WorkerId) -> AsyncIterator[Signal]:
        """Yield a Wake, then what concerns the worker, until closed."""
        with self._opened.listeners.mail(worker) as box:
            last = await self._write(streams.last_signal)
            yield Wake()
            for job_id in await self._read(lambda db, app: streams.cancellations(db, app, worker)):
                yield CancelRequested(job_id)
            while (item := await box.get()) is not None:
                if not isinstance(item, SignalRow):
                    yield item
                elif item.seq > last:
                    yield signal_of(item)

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yield events from this call on, or those behind `after`; ConfigError when that is no cursor."""
        since = None if after is None else streams.event_number(after)
        return self._events(since, self._write(streams.watch))

    async def _events(self, since: int | None, present: asyncio.Future[int]) -> AsyncIterator[Event]:
        number = await present
        if since is not None:
            number = since
        renewed = asyncio.get_running_loop().time()
        listeners = self._opened.listeners
        with listeners.changes() as changed:
            while not listeners.closed:
                changed.clear()
                found = await self._read(partial(streams.events_since, since=number, limit=_EVENTS_STEP))
                for event in found:
                    number = int(event.cursor)
                    yield event
                if not found:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), streams.WATCH_MS / 3000)
                now = asyncio.get_running_loop().time()
                if now - renewed > streams.WATCH_MS / 3000 and not listeners.closed:
                    renewed = now
                    await self._write(streams.watch)

    async def get(self, ids: Sequence[JobId]) -> builtins.list[JobRecord | None]:
        """Return the records, in the order of the ids."""
        return await self._read(lambda db, app: inspect.get(db, app, ids))

    async def logs(self, job_id: JobId) -> builtins.list[LogLine]:
        """Return the job's log."""
        return await self._read(lambda db, app: inspect.logs(db, app, job_id))

    async def list(self, query: JobQuery, *, after: str | None = None, limit: int = 100) -> JobPage:
        """List matching jobs; ConfigError when `after` is no cursor of this list."""
        return await self._read(lambda db, app: inspect.page(db, app, query, after, limit))

    async def counts(self, queues: Sequence[str] | None = None) -> builtins.list[QueueCounts]:
        """Count by state."""
        return await self._read(lambda db, app: inspect.counts(db, app, queues))

    async def workers(self) -> builtins.list[WorkerRecord]:
        """Return the workers that hold jobs."""
        return await self._read(inspect.workers)

    async def pause(self, queue: str) -> None:
        """Hand out no more jobs of this queue."""
        await self._write(lambda tx: manage.pause(tx, queue))

    async def resume(self, queue: str) -> None:
        """Hand out jobs of this queue again."""
        await self._write(lambda tx: manage.resume(tx, queue))

    async def paused(self) -> frozenset[str]:
        """Return the paused queues."""
        return await self._read(inspect.paused)

    async def remove(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Forget jobs that are not running."""
        return await self._write(lambda tx: manage.remove(tx, ids))

    async def retry(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Give failed, cancelled or expired jobs a new life."""
        return await self._write(lambda tx: manage.retry(tx, ids))

    async def promote(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Make scheduled jobs ready."""
        return await self._write(lambda tx: manage.promote(tx, ids))

    async def drain(self, queue: str) -> int:
        """Remove the jobs that wait in the queue now, in steps."""
        until = await self._write(manage.last_seq)
        total = 0
        while removed := await self._write(lambda tx: manage.drain(tx, queue, until)):
            total += removed
        return total

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """Remove completed jobs, in steps; ConfigError when the state is not terminal."""
        if not state.terminal:
            msg = f"clean: {state.value} is not a terminal state; use drain for jobs that wait"
            raise ConfigError(msg)
        total = 0
        while total < limit:
            step = min(manage.STEP, limit - total)
            removed = await self._write(
                partial(manage.clean, state=state, older_than_ms=older_than_ms, queue=queue, limit=step)
            )
            total += removed
            if removed < step:
                break
        return total

    async def declare_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Make these schedules known."""
        await self._write(lambda tx: schedule_store.declare(tx, schedules))

    async def schedules(self) -> builtins.list[ScheduleRecord]:
        """Return the schedules, sorted by name."""
        return await self._read(schedule_store.read)

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """Pause or resume a schedule."""
        return await self._write(lambda tx: schedule_store.pause(tx, name, paused=paused))

    async def skip_fire(self, fire: Fire) -> None:
        """Mark the fire time as done without a job."""
        await self._write(lambda tx: schedule_store.skip_fire(tx, fire))


def _seen(future: asyncio.Future[None]) -> None:
    """Nobody awaits it: an error must not be reported as forgotten."""
    if not future.cancelled():
        future.exception()


def _undo(tx: Transaction, answers: Sequence[tuple[Claimed, int]]) -> None:
    deliveries = [delivery for claimed, _ in answers for delivery in claimed.deliveries]
    known = tx.headers([delivery.lease.job_id for delivery in deliveries])
    settle.settle(
        tx,
        [
            Settlement(delivery.lease, Released())
            for delivery in deliveries
            if (header := known.get(delivery.lease.job_id)) is not None
            and header.state == RUNNING
            and header.epoch == delivery.lease.epoch
        ],
    )
