"""The Redis carrier: the contract's methods, each one line to the module that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import Capabilities, Traffic
from headway.brokers.redis import (
    control,
    drains,
    enqueue,
    figures,
    holding,
    inspect,
    lease,
    manage,
    schedules,
    server,
    settle,
    upkeep,
    withdraw,
)
from headway.brokers.redis.claim import Claims
from headway.brokers.redis.events import EventStream
from headway.brokers.redis.keys import prefix
from headway.brokers.redis.location import parse
from headway.brokers.redis.made import MadeSchedules
from headway.brokers.redis.session import Session
from headway.brokers.redis.settle import Settles
from headway.brokers.redis.signals import mailbox
from headway.brokers.redis.wait import Waits
from headway.brokers.redis.wire.commands import Commands
from headway.brokers.redis.wire.connect import Connector
from headway.brokers.redis.wire.subscriptions import Listener
from headway.control import KEPT_VERSIONS, check_body, check_limit, check_name, check_ttl
from headway.job import check_unique

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType
    from typing import Self

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
    from headway.brokers.redis.location import Location
    from headway.brokers.redis.server import ServerInfo
    from headway.brokers.redis.signals import Mailbox
    from headway.clock import Clock
    from headway.control import ControlDocument, Fence
    from headway.events import Event
    from headway.figures.gatherer import Delta
    from headway.figures.values import Figures
    from headway.job import Fire, JobId, JobRecord, JobState, NewJob, WorkerId


class RedisBroker:
    """Jobs of one app on a Redis. Three connections at most: for commands, for subscriptions, for blocking enqueues."""

    def __init__(self, location: Location, settings: BrokerSettings, *, clock: Clock | None = None) -> None:
        """Nothing is connected before `open`. Without a clock the server's own counts."""
        self._settings = settings
        start = prefix(settings.namespace)
        connector = Connector(location, namespace=settings.namespace, key=start)
        self._listener = Listener(connector)
        self._commands = Commands(connector, on_elsewhere=self._listener.reconnect)
        self._session = Session(
            self._commands,
            start,
            clock=clock,
            record_events=settings.record_events,
            retention=settings.retention,
        )
        self._claims = Claims(self._session)
        self._settles = Settles(self._session)
        self._waits = Waits(self._session, self._listener)
        self._made = MadeSchedules(self._session)
        self._events = EventStream(self._session, self._listener)
        self._mailboxes: set[Mailbox] = set()
        self._listened: set[WorkerId] = set()  # for whom somebody has listened here
        self._name = connector.name

    @classmethod
    def from_url(cls, url: str, settings: BrokerSettings, *, clock: Clock | None = None) -> Self:
        """Make a broker for a URL; ConfigError when it is none of Redis."""
        return cls(parse(url), settings, clock=clock)

    def __repr__(self) -> str:
        """Name the server without passwords."""
        return f"RedisBroker({self._name!r}, namespace={self._settings.namespace!r})"

    @property
    def capabilities(self) -> Capabilities:
        """All of them."""
        return Capabilities(
            name="redis",
            pull=self,
            blocking=self,
            starter=self,
            connected=self,
            keys=self,
            mover=self,
            control=self,
            figures=self,
        )

    async def open(self) -> None:
        """Connect."""
        await self._commands.open()

    async def close(self) -> None:
        """Disconnect; iterators end, calls under way fail."""
        for box in self._mailboxes:
            box.close()
        await self._events.close()
        await self._waits.close()
        await self._listener.close()
        await self._commands.close()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept jobs, all or none."""
        return await enqueue.enqueue(self._session, jobs)

    async def find_held(self, jobs: Sequence[NewJob]) -> list[JobId | None]:
        """Return for each job the one that stands in its way."""
        return await holding.find_held(self._session, jobs)

    async def enqueue_held(self, jobs: Sequence[NewJob]) -> list[Enqueued | None]:
        """Accept the jobs whose unique key is held."""
        jobs = check_unique(jobs)
        return await holding.enqueue_held(self._session, jobs) if jobs else []

    def begin_enqueue(self, jobs: Sequence[NewJob]) -> asyncio.Future[list[Enqueued] | None] | None:
        """Send jobs on their way, if that can be done at once."""
        return enqueue.begin(self._session, jobs)

    @property
    def trouble(self) -> str:
        """What has kept the server from being reached for some seconds."""
        return self._commands.trouble

    @property
    def traffic(self) -> Traffic:
        """What its connections came to in this process."""
        return Traffic(self._commands.connections + self._listener.connections, self._commands.sent)

    def enqueue_blocking(self, job: NewJob) -> bool:
        """Accept a job from any thread, if that can be done at once."""
        return enqueue.enqueue_blocking(self._session, job)

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> list[CancelResult]:
        """Cancel waiting jobs, ask the workers of running ones."""
        return await manage.cancel(self._session, ids, reason)

    async def withdraw(self, ids: Sequence[JobId], reason: str) -> list[JobRecord | None]:
        """End waiting jobs that are to go on elsewhere."""
        return await withdraw.withdraw(self._session, ids, reason)

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait until the job is terminal, or the time is over."""
        return await self._waits.wait(job_id, timeout_ms)

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """Hand out ready jobs."""
        claimed = await self._claims.claim(wants, worker=worker, limit=limit, lease_ms=lease_ms)
        for box in self._mailboxes:
            box.requests.delivered(claimed.deliveries)
        return claimed

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
        """Extend leases."""
        return await lease.heartbeat(self._session, workers, lease_ms)

    async def settle(self, items: Sequence[Settlement]) -> list[SettleResult]:
        """Apply outcomes under their leases."""
        return await self._settles.settle(items)

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        """Take back what a dead worker holds. `forget` adds nothing: dead idle workers are skipped by the wakes."""
        del forget
        return await lease.surrender(self._session, worker, started)

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        """Record progress and log lines."""
        return await settle.report(self._session, reports, self._settings.max_log_lines)

    async def tend(self) -> Tended:
        """Do one round of maintenance."""
        return await upkeep.tend(self._session)

    async def drain_worker(self, worker: WorkerId) -> bool:
        """Ask a worker to drain and end."""
        return await drains.ask(self._session, worker)

    async def signals(self, worker: WorkerId, *, handed: bool = False) -> AsyncIterator[Signal]:
        """Yield what concerns the worker, a Wake first."""
        hands = self._claims.begin_hands(worker) if handed else None
        try:
            begins = worker not in self._listened
            async with mailbox(self._listener, self._session, worker, hands, begins=begins) as box:
                self._listened.add(worker)
                self._mailboxes.add(box)
                try:
                    while (signal := await box.take()) is not None:
                        yield signal
                finally:
                    self._mailboxes.discard(box)
        finally:
            if handed:
                self._claims.end_hands(worker)

    async def get(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return records."""
        return await inspect.get(self._session, ids)

    async def logs(self, job_id: JobId) -> list[LogLine]:
        """Return a job's log."""
        return await inspect.logs(self._session, job_id)

    async def counts(self, queues: Sequence[str] | None = None) -> list[QueueCounts]:
        """Count by state."""
        return await inspect.counts(self._session, queues)

    async def pause(self, queue: str) -> None:
        """Hand out no more jobs of the queue."""
        await manage.pause(self._session, queue)

    async def resume(self, queue: str) -> None:
        """Hand out jobs of the queue again."""
        await manage.resume(self._session, queue)

    async def paused(self) -> frozenset[str]:
        """Return the paused queues."""
        return await inspect.paused(self._session)

    async def remove(self, ids: Sequence[JobId]) -> list[bool]:
        """Forget jobs that are not running."""
        return await manage.act(self._session, "remove", ids)

    async def retry(self, ids: Sequence[JobId]) -> list[bool]:
        """Give completed jobs a new life."""
        return await manage.act(self._session, "retry", ids)

    async def promote(self, ids: Sequence[JobId]) -> list[bool]:
        """Make scheduled jobs ready."""
        return await manage.act(self._session, "promote", ids)

    async def drain(self, queue: str) -> int:
        """Remove all waiting jobs of the queue."""
        return await manage.drain(self._session, queue)

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """Remove old completed jobs."""
        return await manage.clean(self._session, state, older_than_ms, queue, limit)

    async def workers(self) -> list[WorkerRecord]:
        """Return the workers that hold jobs or listen for some."""
        return await inspect.workers(self._session)

    async def events_end(self) -> str:
        """Return the cursor behind the last event."""
        return await self._events.end()

    async def events_kept(self, after: str) -> bool:
        """Tell whether no event behind the cursor has been dropped."""
        return await self._events.kept(after)

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yield events."""
        return self._events.events(after)

    async def declare_schedules(self, schedules_: Sequence[ScheduleRecord]) -> None:
        """Make these schedules known, and no others."""
        await schedules.declare(self._session, schedules_)

    async def schedules(self) -> list[ScheduleRecord]:
        """Return the schedules."""
        return await schedules.schedules(self._session)

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """Pause or resume a schedule."""
        return await schedules.pause(self._session, name, paused=paused)

    async def skip_fire(self, fire: Fire) -> None:
        """Mark a fire time as done."""
        await schedules.skip_fire(self._session, fire)

    async def made_schedules(self) -> list[MadeSchedule]:
        """Return the schedules made at run time."""
        return await self._made.read()

    async def write_schedule(self, made: MadeSchedule, /, *, expected: int) -> bool:
        """Keep a schedule made at run time, where the expected revision stands."""
        return await self._made.write(made, expected)

    async def read_control(self, name: str, *, newer_than: int = 0) -> ControlDocument | None:
        """Return the present version of a control document, unless the reader has it."""
        check_name("control document", name)
        return await control.read(self._session, name, newer_than)

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
        return await control.write(self._session, name, body, expected, fence, keep=check_limit(name, keep))

    async def control_history(self, name: str, limit: int = 100) -> list[ControlDocument]:
        """Return the last versions, the present one first."""
        check_name("control document", name)
        return await control.history(self._session, name, check_limit(name, limit))

    async def hold_control(self, name: str, holder: str, ttl_ms: int) -> Fence | None:
        """Take or extend a lease."""
        check_name("control lease", name)
        check_name("holder of a control lease", holder)
        check_ttl(name, ttl_ms)
        return await control.hold(self._session, name, holder, ttl_ms)

    async def release_control(self, fence: Fence) -> None:
        """End a lease."""
        await control.release(self._session, fence)

    async def add_figures(self, delta: Delta) -> None:
        """Add what one process has gathered."""
        await figures.add(self._session, delta)

    async def figures(
        self, since_ms: int, until_ms: int, *, queue: str | None = None, coarse: bool = False
    ) -> Figures:
        """Return sums of what happened to jobs."""
        return await figures.read(self._session, since_ms, until_ms, queue, coarse=coarse)

    async def server_info(self) -> ServerInfo:
        """Return the server's settings and load."""
        return await server.server_info(self._session)

    # Last, so that `list` means the built-in type in the annotations above.
    async def list(self, query: JobQuery, *, after: str | None = None, limit: int = 100) -> JobPage:
        """Return one page of matching jobs."""
        return await inspect.jobs(self._session, query, after, limit)
