"""Rows that another hand has damaged: any column of any table, with values of every type. They concern nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import (
    BrokerSettings,
    JobQuery,
    LogLine,
    MadeSchedule,
    Progress,
    QueueWant,
    Report,
    ScheduleRecord,
    Settlement,
    Wake,
)
from headway.brokers.sqlite.broker import SqliteBroker
from headway.brokers.sqlite.file import schema
from headway.errors import BrokerRefusedError
from headway.job import (
    Failed,
    Fire,
    JobId,
    JobState,
    Released,
    RetryAt,
    Succeeded,
    UniqueLock,
    UniqueMode,
    WorkerId,
)
from headway.testing import FakeClock
from tests.conformance.listening import Listener
from tests.conformance.scene import HOUR, MINUTE, SECOND, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

GARBAGE = ["x'ff00'", "'soon'", str(2**62), "1.5", "NULL"]


def _columns(table: str) -> list[str]:
    """Return the columns of a table, but for those by which its rows are told apart and apps found."""
    with closing(sqlite3.connect(":memory:")) as db:
        for script in schema.MIGRATIONS:
            for statement in schema.statements(script):
                db.execute(statement)
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    return [
        column
        for column in columns
        if column not in {"seq", "app", "name"} or (table, column) == ("schedule", "name")
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headway.db"


@pytest.fixture
async def scene(path: Path) -> AsyncIterator[Scene]:
    clock = FakeClock()
    settings = BrokerSettings("app", record_events=True)
    async with SqliteBroker(f"sqlite:///{path}", settings, clock=clock) as broker:
        yield Scene(broker, clock)


@pytest.fixture
def other(path: Path, scene: Scene) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


def _damage(
    db: sqlite3.Connection, table: str, column: str, value: str, where: str, *parameters: Any
) -> bool:
    """Write the garbage; tell whether the table took it."""
    try:
        db.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}", parameters)  # noqa: S608 - from the schema
    except sqlite3.IntegrityError:
        return False  # NULL where that is not allowed, or a place that is taken
    return True


async def _a_day(scene: Scene) -> None:
    """All that workers, callers and lookers do; none of it may fail, and healthy jobs are served."""
    carrier = scene.carrier
    for number in range(2):
        healthy = await scene.put(scene.job(queue="healthy"))
        unique = scene.job(
            queue="healthy", unique=UniqueLock("u", UniqueMode.REJECT), key=f"day-{number}-{healthy}"
        )
        await carrier.enqueue(
            [unique, scene.job(queue="healthy", due=SECOND), scene.job(queue="healthy", expires=SECOND)]
        )
        wants = [QueueWant("q", 1000), QueueWant("healthy", 1000)]
        claimed = await carrier.claim(wants, worker=WorkerId("day"), limit=2000, lease_ms=MINUTE)
        assert healthy in {delivery.lease.job_id for delivery in claimed.deliveries}
        assert claimed.next_in_ms is None or claimed.next_in_ms >= 0
        await carrier.heartbeat([WorkerId("day"), WorkerId("w")], MINUTE)
        for place, delivery in enumerate(claimed.deliveries):
            lease = delivery.lease
            outcomes = (Succeeded(b"r"), RetryAt(scene.now), Failed(b"h"), Released())
            with contextlib.suppress(BrokerRefusedError):  # of that job alone
                await carrier.report(
                    [Report(lease, LogLine(1, "info", "line")), Report(lease, Progress(0.5))]
                )
                await carrier.settle(
                    [Settlement(lease, Succeeded() if lease.job_id == healthy else outcomes[place % 4])]
                )
        assert await scene.state(healthy) is JobState.SUCCEEDED
        assert [line.message for line in await carrier.logs(healthy)] == ["line"]
        cursor = None
        for states in ((), *((state,) for state in JobState)):
            while True:
                page = await carrier.list(JobQuery(states), after=cursor, limit=60)
                cursor = page.cursor
                if cursor is None:
                    break
        await carrier.counts()
        await carrier.counts(["q", "healthy"])
        await carrier.workers()
        await carrier.paused()
        await carrier.schedules()
        await carrier.skip_fire(Fire("s", scene.now))
        scene.clock.advance(2 * MINUTE)
        tended = await carrier.tend()
        assert tended.next_in_ms is None or tended.next_in_ms >= 0
        await carrier.surrender(WorkerId("day"), started=None)


STATES = [JobState.READY, JobState.SCHEDULED, JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED]


@pytest.mark.parametrize("state", STATES)
async def test_a_damaged_job_stops_no_other(scene: Scene, other: sqlite3.Connection, state: JobState) -> None:
    jobs: dict[JobId, tuple[str, str]] = {}
    for column in _columns("job"):
        for value in GARBAGE:
            job = scene.job(
                key=f"{column}-{value}",
                expires=HOUR,
                unique=UniqueLock(f"{column}-{value}", UniqueMode.REJECT),
            )
            await scene.reach(state, job)
            if _damage(other, "job", column, value, "id = ?", job.id):
                jobs[job.id] = (column, value)
    async with (
        Listener(scene.carrier.signals(WorkerId("day"))) as heard,
        Listener(scene.carrier.events()) as events,
    ):
        assert isinstance(await heard.next(), Wake)
        await _a_day(scene)
        await scene.carrier.cancel(list(jobs))
        await scene.carrier.promote(list(jobs))
        await scene.carrier.retry(list(jobs))
        await _a_day(scene)
        last = await scene.put(scene.job(queue="last"))
        await events.until(lambda event: event.job_id == last)
        await scene.carrier.claim([QueueWant("none", 1)], worker=WorkerId("day"), limit=1, lease_ms=MINUTE)
        await scene.put(scene.job(queue="none"))
        assert isinstance(await heard.next(), Wake)
    scene.clock.advance(2 * HOUR)
    await _a_day(scene)
    # What cannot be told to be overdue is named in the dead-letter state; none waits or runs for ever.
    waiting = {row[0] for row in other.execute("SELECT id FROM job WHERE state IN (0, 1) AND queue = 'q'")}
    assert {jobs[job_id] for job_id in jobs.keys() & waiting} == set()


@pytest.mark.parametrize(
    "table", ["payload", "log", "lease", "lock", "paused", "schedule", "made_schedule", "event", "signal"]
)
async def test_a_damaged_row_of_any_table_stops_nothing(
    scene: Scene, other: sqlite3.Connection, table: str
) -> None:
    carrier = scene.carrier
    for column in _columns(table):
        for value in GARBAGE:
            await carrier.declare_schedules(
                [ScheduleRecord(f"s{n}", "every 60s", "shop.pay") for n in range(2)]
            )
            for name in ("made", "other"):
                [there, *_] = [
                    one.revision for one in await carrier.made_schedules() if one.name == name
                ] or [0]
                await carrier.write_schedule(MadeSchedule(name, there + 1, b"body"), expected=there)
            await scene.offer(scene.job(fire=Fire("s0", scene.now)))
            await carrier.pause("other")
            throttle = UniqueLock("t", UniqueMode.THROTTLE, 60_000)
            await scene.offer(scene.job(unique=throttle))
            big = scene.job(payload=b"x" * 5000, unique=UniqueLock("u", UniqueMode.KEEP_LAST))
            await carrier.enqueue([big])
            for delivery in await scene.take(worker="w"):
                await carrier.report([Report(delivery.lease, LogLine(1, "info", "line"))])
                await carrier.cancel([delivery.lease.job_id])
            _damage(other, table, column, value, "1")
            await _a_day(scene)
            await scene.offer(scene.job(unique=throttle))
            await scene.offer(scene.job(fire=Fire("s0", scene.now)))
            for job in (await carrier.list(JobQuery())).jobs:
                await carrier.logs(job.id)
            assert all(isinstance(one.body, bytes) for one in await carrier.made_schedules())
            other.execute("DELETE FROM paused WHERE typeof(queue) != 'text'")
            assert await scene.put(scene.job(queue="end"))


@pytest.mark.parametrize("value", GARBAGE)
async def test_damaged_counters_are_counted_anew(scene: Scene, other: sqlite3.Connection, value: str) -> None:
    ids = await scene.put_many(3)
    async with Listener(scene.carrier.signals(WorkerId("day"))) as heard:
        assert isinstance(await heard.next(), Wake)
        for column in _columns("app"):
            if column in {"id", "spared_until_ms"} or not _damage(other, "app", column, value, "1"):
                continue
            await _a_day(scene)
        await _a_day(scene)
        await scene.carrier.claim([QueueWant("late", 1)], worker=WorkerId("day"), limit=1, lease_ms=MINUTE)
        await scene.put(scene.job(queue="late"))
        assert isinstance(await heard.next(), Wake)
    assert await scene.states(ids) != [JobState.READY] * 3


async def test_a_worker_goes_on_beside_damaged_rows(scene: Scene, other: sqlite3.Connection) -> None:
    """Concurrency 1: the job behind a damaged one is served at once."""
    jobs = [scene.job() for _ in range(5)]
    await scene.carrier.enqueue(jobs)
    for job in jobs[:4]:
        _damage(other, "job", "payload", "7", "id = ?", job.id)
    [delivery] = await asyncio.wait_for(scene.take(1), 10)
    assert delivery.lease.job_id == jobs[4].id
    assert await scene.states([jobs[4].id]) == [JobState.RUNNING]
    reasons = [row[0] for row in other.execute("SELECT reason FROM job WHERE state = 4")]
    assert reasons == ["its stored record is damaged: column payload holds int"] * 4
