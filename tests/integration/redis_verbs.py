"""An app on a Redis in which everything happens: jobs in every state, and a verb for each script."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.base import (
    JobQuery,
    LogLine,
    MadeSchedule,
    Progress,
    QueueWant,
    Report,
    ScheduleRecord,
    Settlement,
)
from headway.errors import BrokerError
from headway.figures.gatherer import Delta
from headway.figures.values import Counts, Row, figures
from headway.job import (
    Cancelled,
    Failed,
    Fire,
    JobId,
    JobState,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    UniqueLock,
    UniqueMode,
    WorkerId,
    new_job_id,
)
from tests.integration.redis_app import LEASE_MS, job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from headway.brokers.redis.broker import RedisBroker
    from headway.job import Delivery, NewJob

QUEUES: Final = ("q", "other")
BUSY: Final = WorkerId("busy")
IDLE: Final = WorkerId("idle")
FAR: Final = 2**45  # ms: a thousand years


class App:
    """An app that has something in nearly every key."""

    def __init__(self, carrier: RedisBroker) -> None:
        self.carrier = carrier
        self.accepted: set[JobId] = set()
        self.dropped: set[JobId] = set()  # by those whose verb it is to remove jobs
        self.refused: list[JobId] = []  # of the last enqueue
        self.count = 0

    async def command(self, *parts: Any) -> Any:
        return await self.carrier._session.command(*parts)

    def jobs(self) -> list[NewJob]:
        self.count += 1
        locks = [UniqueLock(f"{mode}{self.count}", mode, 60_000) for mode in UniqueMode]
        return [
            job(),
            job("other", priority=9),
            job(due_ms=FAR),
            job(expires_ms=FAR),
            job(key=f"k{self.count}"),
            *[job(unique=lock) for lock in locks],
            *[job(unique=lock) for lock in locks[:1] + locks[2:]],  # duplicates, and those that replace
            job(fire=Fire("s", self.count)),
        ]

    async def offer(self, jobs: list[NewJob]) -> None:
        """Enqueue; what is refused must not be there."""
        try:
            answers = await self.carrier.enqueue(jobs)
        except BrokerError:
            self.refused = [one.id for one in jobs]
            raise
        self.accepted |= {one.id for one in answers if one.duplicate_of is None}

    async def take(self, limit: int = 6) -> list[Delivery]:
        wants = [QueueWant(queue, limit) for queue in QUEUES]
        return (await self.carrier.claim(wants, worker=BUSY, limit=limit, lease_ms=LEASE_MS)).deliveries

    async def idle(self) -> None:
        await self.carrier.claim([QueueWant("other", 1)], worker=IDLE, limit=1, lease_ms=LEASE_MS)

    async def ids(self, *states: JobState, limit: int = 100) -> list[JobId]:
        page = await self.carrier.list(JobQuery(states=states), limit=limit)
        return [one.id for one in page.jobs]

    async def fill(self) -> None:
        """Bring jobs into each of the states, one of them held behind a running one."""
        await self.offer(self.jobs())
        deliveries = await self.take(20)
        outcomes: list[Outcome] = [
            Succeeded(b"r"),
            Failed(b"h"),
            Cancelled("c"),
            RetryAt(FAR, b"h"),
            Released(),
        ]
        await self.carrier.settle(
            [Settlement(one.lease, outcome) for one, outcome in zip(deliveries, outcomes, strict=False)]
        )
        lease = deliveries[-1].lease
        await self.carrier.report([Report(lease, Progress(0.5)), Report(lease, LogLine(1, "info", "x"))])
        await self.carrier.cancel([lease.job_id])
        lock = UniqueLock(f"last{self.count}", UniqueMode.KEEP_LAST)
        await self.offer([job(priority=9, unique=lock)])
        await self.take(1)
        await self.offer([job(unique=lock), *self.jobs()])
        await self.carrier.cancel((await self.ids(JobState.READY))[:1])
        await self.idle()

    async def end(self) -> None:
        """Run all that is to be run, then see that every accepted job has ended."""
        for worker in (BUSY, IDLE):
            await self.carrier.surrender(worker, started=())
        for _ in range(300):
            tended = await self.carrier.tend()
            await self.carrier.promote(await self.ids(JobState.SCHEDULED))
            taken = await self.take(100)
            await self.carrier.settle([Settlement(one.lease, Succeeded()) for one in taken])
            if not taken and tended.next_in_ms != 0 and not await self.ids(JobState.SCHEDULED):
                break
        ids = sorted(self.accepted - self.dropped)
        records = await self.carrier.get(ids)
        states = {one: record.state if record else None for one, record in zip(ids, records, strict=True)}
        lost = {one: state for one, state in states.items() if state is None or not state.terminal}
        assert not lost, lost
        counts = {row.queue: row.counts for row in await self.carrier.counts()}
        waiting = (JobState.SCHEDULED, JobState.READY, JobState.RUNNING)
        left = [(queue, state) for queue, of in counts.items() for state in waiting if of.get(state)]
        assert not left, left


async def _cancel(app: App) -> AsyncIterator[None]:
    ids = await app.ids(JobState.READY, JobState.RUNNING, JobState.SCHEDULED)
    yield
    await app.carrier.cancel(ids[:2] + ids[-2:])


async def _claim(app: App) -> AsyncIterator[None]:
    await app.offer(app.jobs())
    yield
    await app.take()


async def _clean(app: App) -> AsyncIterator[None]:
    app.dropped |= set(await app.ids(JobState.FAILED, JobState.SUCCEEDED))
    yield
    for state in (JobState.FAILED, JobState.SUCCEEDED):
        await app.carrier.clean(state, older_than_ms=-1, limit=1)


async def _drain_worker(app: App) -> AsyncIterator[None]:
    yield
    await app.carrier.drain_worker(IDLE)


async def _drain(app: App) -> AsyncIterator[None]:
    await app.offer([job("other"), job("other", due_ms=FAR)])
    app.dropped |= set(await app.ids(JobState.READY, JobState.SCHEDULED))
    yield
    await app.carrier.drain("other")


async def _enqueue(app: App) -> AsyncIterator[None]:
    await app.idle()
    yield
    await app.offer(app.jobs())


async def _enqueue_held(app: App) -> AsyncIterator[None]:
    locks = [UniqueLock(f"held{app.count}{mode}", mode, 60_000) for mode in UniqueMode]
    await app.offer([job(unique=lock) for lock in locks[::2]])
    yield
    jobs = [job(unique=lock) for lock in locks]
    try:
        answers = await app.carrier.enqueue_held(jobs)
    except BrokerError:
        app.refused = [one.id for one in jobs]
        raise
    app.accepted |= {one.id for one in answers if one is not None and one.duplicate_of is None}


async def _find_held(app: App) -> AsyncIterator[None]:
    jobs = app.jobs()
    await app.offer(jobs)
    yield
    await app.carrier.find_held(jobs)


async def _enqueue_plain(app: App) -> AsyncIterator[None]:
    await app.idle()
    yield
    await app.offer([job("other")])


async def _plain_batch(app: App) -> AsyncIterator[None]:
    await app.idle()
    yield
    await app.offer([job("other") for _ in range(3)])


async def _intern(app: App) -> AsyncIterator[None]:
    app.carrier._session.forget_kinds()
    yield
    await app.offer([job("other")])


async def _promote(app: App) -> AsyncIterator[None]:
    await app.offer([job(due_ms=FAR)])
    ids = await app.ids(JobState.SCHEDULED)
    yield
    await app.carrier.promote(ids[-2:])


async def _remove(app: App) -> AsyncIterator[None]:
    ids = await app.ids()
    app.dropped |= {*ids[:2], *ids[-2:]}
    yield
    await app.carrier.remove(ids[:2] + ids[-2:])


async def _report(app: App) -> AsyncIterator[None]:
    await app.offer([job()])
    deliveries = await app.take(1)
    yield
    for one in deliveries:
        await app.carrier.report([Report(one.lease, Progress(1.0)), Report(one.lease, LogLine(1, "i", "x"))])


async def _resume(app: App) -> AsyncIterator[None]:
    await app.carrier.pause("other")
    yield
    try:
        await app.carrier.resume("other")
    finally:
        await app.command("DEL", f"{app.carrier._session.prefix}paused")


async def _retry(app: App) -> AsyncIterator[None]:
    ids = await app.ids(JobState.FAILED, JobState.CANCELLED)
    yield
    await app.carrier.retry(ids)


async def _settle(app: App) -> AsyncIterator[None]:
    await app.offer(app.jobs())
    deliveries = await app.take()
    outcomes: list[Outcome] = [Succeeded(b"r"), Failed(b"h"), RetryAt(FAR, b"h"), Released(), Succeeded()]
    yield
    await app.carrier.settle(
        [Settlement(one.lease, outcome) for one, outcome in zip(deliveries, outcomes, strict=False)]
    )


async def _plain_settle(app: App) -> AsyncIterator[None]:
    await app.offer([job(priority=9), job(priority=9)])
    deliveries = await app.take(2)
    yield
    await app.carrier.settle([Settlement(one.lease, Succeeded()) for one in deliveries])


async def _surrender(app: App) -> AsyncIterator[None]:
    await app.offer([job()])
    await app.take()
    yield
    await app.carrier.surrender(BUSY, started=None)


async def _tend(app: App) -> AsyncIterator[None]:
    await app.offer([job(due_ms=1), job(expires_ms=1)])
    wants = [QueueWant("q", 2)]
    await app.carrier.claim(wants, worker=WorkerId("brief"), limit=2, lease_ms=1)
    yield
    await app.carrier.tend()


async def _withdraw(app: App) -> AsyncIterator[None]:
    await app.offer(app.jobs())
    ids = await app.ids(JobState.READY, JobState.SCHEDULED)
    yield
    gone = await app.carrier.withdraw(ids[:3] + ids[-6:], "moved")
    app.dropped |= {one.id for one in gone if one is not None}


async def _come_back(app: App) -> AsyncIterator[None]:
    jobs = app.jobs()
    await app.offer(jobs)
    gone = await app.carrier.withdraw([one.id for one in jobs], "moved")
    back = [one.as_new() for one in gone if one is not None]
    yield
    try:
        await app.carrier.enqueue(back)
    except BrokerError:
        records = await app.carrier.get([one.id for one in back])
        assert [one for one in records if one is None or not one.withdrawn] == []
        raise
    finally:
        app.dropped |= {one.id for one in back}


async def _wait(app: App) -> AsyncIterator[None]:
    ids = await app.ids(JobState.SCHEDULED)
    yield
    await app.carrier.wait_finished(ids[0], 0)


async def _read_control(app: App) -> AsyncIterator[None]:
    await app.carrier.write_control("routes", b"x", expected=0)
    yield
    await app.carrier.read_control("routes")


async def _write_control(app: App) -> AsyncIterator[None]:
    fence = await app.carrier.hold_control("c", "one", LEASE_MS)
    found = await app.carrier.read_control("routes")
    yield
    await app.carrier.write_control("routes", b"x", expected=found.version if found else 0, fence=fence)


def _asking(ask: Callable[[RedisBroker], Any]) -> Callable[[App], AsyncIterator[None]]:
    async def verb(app: App) -> AsyncIterator[None]:
        yield
        await ask(app.carrier)

    return verb


async def _add_figures(app: App) -> AsyncIterator[None]:
    row = Row(time.time_ns() // 60_000_000_000, "q", "shop.pay", "main", Counts(started=1))
    yield
    await app.carrier.add_figures(Delta(new_job_id(), 1, figures([row])))


async def _write_schedule(app: App) -> AsyncIterator[None]:
    """One that is made, and another that is deleted: what is left of it is kept for a month."""
    app.count += 1
    revision = time.time_ns() // 1_000_000 + app.count
    yield
    for name, body in (("made", b"body"), ("gone", b"")):
        known = {one.name: one.revision for one in await app.carrier.made_schedules()}
        made = MadeSchedule(name, revision, body)
        await app.carrier.write_schedule(made, expected=known.get(name, 0))


SCHEDULE: Final = ScheduleRecord("s", "* * * * *", "shop.pay")
VERBS: Final[dict[str, list[Callable[[App], AsyncIterator[None]]]]] = {
    "add_figures": [_add_figures],
    "cancel": [_cancel],
    "claim": [_claim],
    "clean": [_clean],
    "counts": [_asking(lambda carrier: carrier.counts())],
    "drain": [_drain],
    "drain_worker": [_drain_worker],
    "enqueue": [_enqueue, _enqueue_held, _come_back],
    "enqueue_plain": [_enqueue_plain, _plain_batch],
    "figures": [_asking(lambda carrier: carrier.figures(0, 2**42))],
    "find_held": [_find_held],
    "get": [_asking(lambda carrier: carrier.get([JobId("x")]))],
    "heartbeat": [_asking(lambda carrier: carrier.heartbeat([BUSY, IDLE], LEASE_MS))],
    "hold_control": [_asking(lambda carrier: carrier.hold_control("c", "one", LEASE_MS))],
    "intern": [_intern],
    "made_schedules": [_asking(lambda carrier: carrier.made_schedules())],
    "overview": [_asking(lambda carrier: carrier.workers()), _asking(lambda carrier: carrier.schedules())],
    "page": [_asking(lambda carrier: carrier.list(JobQuery()))],
    "pause_schedule": [_asking(lambda carrier: carrier.pause_schedule("s", paused=True))],
    "promote": [_promote],
    "read_control": [_read_control],
    "remove": [_remove],
    "report": [_report],
    "resume": [_resume],
    "retry": [_retry],
    "schedules": [_asking(lambda carrier: carrier.declare_schedules([SCHEDULE]))],
    "settle": [_settle, _plain_settle],
    "skip_fire": [_asking(lambda carrier: carrier.skip_fire(Fire("s", 1)))],
    "surrender": [_surrender],
    "tend": [_tend],
    "wait": [_wait],
    "withdraw": [_withdraw],
    "write_control": [_write_control],
    "write_schedule": [_write_schedule],
}
