"""The carrier itself: each method hands one operation to the thread that writes or to the one that reads."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from headway.brokers.base import Capabilities
from headway.brokers.sqlite import (
    claim,
    control,
    drains,
    enqueue,
    events,
    figures,
    holding,
    inspect,
    lease,
    manage,
    presence,
    schedules,
    settle,
    signals,
    steps,
    upkeep,
    wait,
    withdraw,
)
from headway.brokers.sqlite.file.connection import check_library
from headway.brokers.sqlite.file.renewal import Renewal
from headway.brokers.sqlite.file.ticks import tick_ms
from headway.brokers.sqlite.location import parse
from headway.brokers.sqlite.made import MadeSchedules
from headway.clock import SystemClock
from headway.control import KEPT_VERSIONS, check_body, check_limit, check_name, check_ttl
from headway.errors import BrokerError, BrokerUnavailableError
from headway.job import check_unique

if TYPE_CHECKING:
    import builtins
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType
    from typing import TypeVar

    from headway.brokers.base import (
        BrokerSettings,
        CancelResult,
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
    from headway.brokers.sqlite.file.opening import Opened
    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.clock import Clock
    from headway.control import ControlDocument, Fence
    from headway.events import Event
    from headway.figures.gatherer import Delta
    from headway.figures.values import Figures
    from headway.job import Delivery, Fire, JobId, JobRecord, JobState, NewJob, WorkerId

    T = TypeVar("T")


class SqliteBroker:
    """A file in WAL mode. Every process that opens it must be on the same machine.

    A Wake goes to each idle worker of the app in every process, not to one: a claim that finds nothing costs
    little here.
    """

    def __init__(self, url: str, settings: BrokerSettings, *, clock: Clock | None = None) -> None:
        """Read the URL; nothing is opened yet. ConfigError."""
        check_library()
        self._location = parse(url)
        self._namespace = settings.namespace
        self._retention = settings.retention
        self._clock = SystemClock() if clock is None else clock
        self._presence = presence.Presence()
        self._listened: set[WorkerId] = set()  # for whom somebody has listened here
        self._asked: dict[WorkerId, int] = {}  # when a heartbeat was sent that is not answered yet
        self._made = MadeSchedules(self._location.name)
        self._renewal = Renewal(self._location, settings, self._clock)

    def __repr__(self) -> str:
        """Name the file and the app."""
        return f"<SqliteBroker {self._location.name} namespace={self._namespace!r}>"

    @property
    def capabilities(self) -> Capabilities:
        """The features of this carrier: all of them, and delays of any length."""
        return Capabilities(
            name="sqlite", pull=self, blocking=self, keys=self, mover=self, control=self, figures=self
        )

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
        await self._renewal.open()

    async def close(self) -> None:
        """Finish what was queued and close the file. Closing a closed carrier does nothing."""
        await self._renewal.close()

    @property
    def _opened(self) -> Opened:
        return self._renewal.opened

    def _write(self, operation: Callable[[Transaction], T]) -> asyncio.Future[T]:
        return self._renewal.opened.write(operation)

    def _read(self, operation: Callable[[sqlite3.Connection, int], T]) -> asyncio.Future[T]:
        return self._renewal.opened.read(operation)

    async def enqueue(self, jobs: Sequence[NewJob]) -> builtins.list[Enqueued]:
        """Accept the jobs in one transaction."""
        jobs = list(jobs)
        return await self._write(lambda tx: enqueue.enqueue(tx, jobs)) if jobs else []

    async def find_held(self, jobs: Sequence[NewJob]) -> builtins.list[JobId | None]:
        """Return for each job the one that holds one of its keys."""
        jobs, kept = list(jobs), self._retention
        return await self._read(lambda db, app: holding.find_held(db, app, jobs, self._clock.now_ms(), kept))

    async def enqueue_held(self, jobs: Sequence[NewJob]) -> builtins.list[Enqueued | None]:
        """Accept the jobs whose unique key is held, in one transaction."""
        jobs = check_unique(jobs)
        return await self._write(lambda tx: holding.enqueue_held(tx, jobs)) if jobs else []

    def enqueue_blocking(self, job: NewJob) -> bool:
        """Accept a job from another thread than the loop's; false: use `enqueue`."""
        state = self._renewal.state
        if state is None:
            return False
        try:
            [answer] = state.writer.run(lambda tx: enqueue.enqueue(tx, [job]))
        except BrokerError:
            return False  # `enqueue` says what is wrong, or succeeds by then
        return answer.duplicate_of is None

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """Claim ready jobs; a worker that got fewer than it could take is idle until its next Wake."""
        opened = self._opened
        taken: list[Delivery] = []
        noted = bool(wants) and opened.listeners.listens(worker) and self._presence.is_due(worker)

        def operation(tx: Transaction) -> tuple[Claimed, int]:
            claimed = claim.claim(tx, wants, worker, limit, lease_ms)
            if noted:
                presence.note(tx, worker, [want.queue for want in wants])
            taken.extend(claimed.deliveries)
            return claimed, tx.wake

        try:
            claimed, wake = await opened.write(operation)
        except asyncio.CancelledError:
            # The caller is gone: hand back the claimed jobs, as the next operation behind this claim.
            with suppress(BrokerUnavailableError):
                opened.write(lambda tx: settle.hand_back(tx, taken)).add_done_callback(_forget)
            raise
        if len(claimed.deliveries) < limit:
            opened.listeners.idle(worker, wake)
        else:
            opened.listeners.busy(worker)
        return claimed

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> builtins.list[Heartbeat]:
        """Extend the leases of these workers."""
        now = tick_ms(self._clock)
        asked = {worker: self._asked.setdefault(worker, now) for worker in workers}
        answers = await self._write(lambda tx: lease.heartbeat(tx, workers, lease_ms, asked))
        for worker in workers:
            self._asked.pop(worker, None)
        return answers

    async def settle(self, items: Sequence[Settlement]) -> builtins.list[SettleResult]:
        """Apply outcomes in one transaction."""
        items = list(items)
        return await self._write(lambda tx: settle.settle(tx, items)) if items else []

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        """Take back the jobs of a dead worker: those in `started` are reclaimed (a crash more), the others released."""
        crashed = None if started is None else frozenset[str](started)
        if forget:
            self._presence.forget(worker)
            if (state := self._renewal.state) is not None:
                state.listeners.busy(worker)

        return await self._write(lambda tx: lease.surrender(tx, worker, crashed, forget=forget))

    async def report(self, reports: Sequence[Report]) -> builtins.list[SettleResult]:
        """Record progress and log lines."""
        reports = list(reports)
        return await self._write(lambda tx: settle.report(tx, reports)) if reports else []

    async def tend(self) -> Tended:
        """One round of maintenance."""
        return await self._write(upkeep.tend)

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> builtins.list[CancelResult]:
        """Cancel waiting jobs; send a request to the workers of running ones."""
        return await steps.in_steps(self._write, ids, partial(manage.cancel, reason=reason))

    async def withdraw(self, ids: Sequence[JobId], reason: str) -> builtins.list[JobRecord | None]:
        """End waiting jobs that move to another carrier; return them as they were."""
        return await steps.in_steps(self._write, ids, partial(withdraw.withdraw, reason=reason))

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait until the job is terminal, or gone, or the time is over; return its record as it is then."""
        return await wait.finished(self._renewal, job_id, timeout_ms)

    async def drain_worker(self, worker: WorkerId) -> bool:
        """Ask a worker to drain and end."""
        return await self._write(lambda tx: drains.ask(tx, worker))

    def signals(self, worker: WorkerId, *, handed: bool = False) -> AsyncIterator[Signal]:  # noqa: ARG002 - wakes suffice
        """Yield a Wake, then the signals for this worker, until the carrier is closed."""
        return signals.signals(self._renewal, self._opened, worker, self._listened)

    async def events_end(self) -> str:
        """Return the cursor behind the last event."""
        return str(await self._write(events.watch))

    async def events_kept(self, after: str) -> bool:
        """Tell whether no event behind the cursor has been dropped."""
        since = events.event_number(after)
        return await self._read(lambda db, _: events.kept(db, since))

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yield events from this call on, or those behind `after`; ConfigError when that is no cursor."""
        since = None if after is None else events.event_number(after)
        return events.events(self._renewal, self._opened, since, self._write(events.watch))

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
        """Return the workers that hold jobs or listen for some."""
        return await self._read(lambda db, app: inspect.workers(db, app, self._clock))

    async def pause(self, queue: str) -> None:
        """Let no worker claim jobs of this queue."""
        await self._write(lambda tx: manage.pause(tx, queue))

    async def resume(self, queue: str) -> None:
        """Let workers claim jobs of this queue again."""
        await self._write(lambda tx: manage.resume(tx, queue))

    async def paused(self) -> frozenset[str]:
        """Return the paused queues."""
        return await self._read(inspect.paused)

    async def remove(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Remove jobs that are not running, with their payloads and logs."""
        return await steps.in_steps(self._write, ids, manage.remove)

    async def retry(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Give failed, cancelled or expired jobs a new life."""
        return await steps.in_steps(self._write, ids, manage.retry)

    async def promote(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Make scheduled jobs ready."""
        return await steps.in_steps(self._write, ids, manage.promote)

    async def drain(self, queue: str) -> int:
        """Remove the jobs that wait in the queue now, in steps."""
        return await steps.drain(self._write, queue)

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """Remove completed jobs, in steps; ConfigError when the state is not terminal."""
        return await steps.clean(self._write, state, older_than_ms, queue, limit)

    async def declare_schedules(self, schedules_: Sequence[ScheduleRecord]) -> None:
        """Make these schedules known."""
        await self._write(lambda tx: schedules.declare(tx, schedules_))

    async def schedules(self) -> builtins.list[ScheduleRecord]:
        """Return the schedules, sorted by name."""
        return await self._read(schedules.read)

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """Pause or resume a schedule."""
        return await self._write(lambda tx: schedules.pause(tx, name, paused=paused))

    async def skip_fire(self, fire: Fire) -> None:
        """Mark the fire time as done without a job."""
        await self._write(lambda tx: schedules.skip_fire(tx, fire))

    async def made_schedules(self) -> builtins.list[MadeSchedule]:
        """Return the schedules made at run time."""
        return await self._read(self._made.read)

    async def write_schedule(self, made: MadeSchedule, /, *, expected: int) -> bool:
        """Keep a schedule made at run time, where the expected revision stands."""
        return await self._write(lambda tx: self._made.write(tx, made, expected))

    async def read_control(self, name: str, *, newer_than: int = 0) -> ControlDocument | None:
        """Return the present version of a control document, unless the reader has it."""
        check_name("control document", name)
        return await self._read(lambda db, app: control.read(db, app, name, newer_than, self._clock.now_ms()))

    async def write_control(
        self,
        name: str,
        body: bytes,
        *,
        expected: int,
        fence: Fence | None = None,
        keep: int = KEPT_VERSIONS,
    ) -> int | None:
        """Write the version that follows on `expected`."""
        check_name("control document", name)
        check_body(name, body)
        kept = check_limit(name, keep)
        return await self._write(lambda tx: control.write(tx, name, body, expected, fence, keep=kept))

    async def control_history(self, name: str, limit: int = 100) -> builtins.list[ControlDocument]:
        """Return the last versions, the present one first."""
        check_name("control document", name)
        count = check_limit(name, limit)
        return await self._read(lambda db, app: control.history(db, app, name, count, self._clock.now_ms()))

    async def hold_control(self, name: str, holder: str, ttl_ms: int) -> Fence | None:
        """Take or extend a lease."""
        check_name("control lease", name)
        check_name("holder of a control lease", holder)
        check_ttl(name, ttl_ms)
        return await self._write(lambda tx: control.hold(tx, name, holder, ttl_ms))

    async def release_control(self, fence: Fence) -> None:
        """End a lease."""
        await self._write(lambda tx: control.release(tx, fence))

    async def add_figures(self, delta: Delta) -> None:
        """Add what one process has gathered."""
        await self._write(lambda tx: figures.add(tx, delta))

    async def figures(
        self, since_ms: int, until_ms: int, *, queue: str | None = None, coarse: bool = False
    ) -> Figures:
        """Return sums of what happened to jobs."""
        return await self._read(
            lambda db, app: figures.read(
                db, app, (since_ms, until_ms, self._clock.now_ms()), queue, coarse=coarse
            )
        )


def _forget(future: asyncio.Future[None]) -> None:
    """Mark the error as seen: nobody awaits this future, and asyncio must not log it."""
    if not future.cancelled():
        future.exception()
