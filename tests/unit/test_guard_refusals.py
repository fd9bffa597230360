"""A store that says no to one job ends that job, with the reason; one that does not answer leaves nobody condemned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import (
    BrokerSettings,
    JobQuery,
    LeaseState,
    LogLine,
    Progress,
    Report,
    ScheduleRecord,
)
from headway.codec import decode_history
from headway.errors import BrokerRefusedError, BrokerUnavailableError
from headway.guards.beginning import Started
from headway.guards.document import PushedJob
from headway.guards.guard import Guard
from headway.guards.transitions import Busy, Complete
from headway.guards.url import from_url
from headway.job import Failed, Fire, JobState, NewJob, Released, RetryAt, Succeeded, WorkerId, new_job_id
from headway.storage.redis.replies import ServerRefusesError
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from headway.guards.base import Entry, EntryPage, GuardStore
    from headway.job import Delivery, Outcome

LEASE_MS = 60_000
SMALL, LARGE = 2_000, 20_000  # bytes; what the endpoint takes is between them


class Endpoint:
    """A store behind something that takes no entry above a size, answers nothing for a while, or refuses all."""

    def __init__(self, store: GuardStore) -> None:
        self.store = store
        self.most: int | None = None
        self.refuses_all = False
        self.lost = 0  # calls whose answers are lost, although they are applied
        self.late: list[Any] = []  # calls that are applied later
        self.delays = 0

    @property
    def commands(self) -> int:
        return self.store.commands

    async def open(self) -> None:
        await self.store.open()

    async def close(self) -> None:
        await self.store.close()

    def _look(self, entry: Entry) -> None:
        if self.refuses_all:
            msg = "it is out of memory"
            raise ServerRefusesError(msg)
        if self.most is not None and len(entry.data) > self.most:
            msg = "HTTP 413: the value is too large"
            raise BrokerRefusedError(msg)

    async def _write(self, work: Any) -> Any:
        if self.delays:
            self.delays -= 1
            self.late.append(work)
        else:
            answer = await work()
            if not self.lost:
                return answer
            self.lost -= 1
        msg = "no answer in time"
        raise BrokerUnavailableError(msg)

    async def clock_ms(self) -> int | None:
        return None

    async def insert(self, entry: Entry, *, now_ms: int) -> Entry | None:
        self._look(entry)
        found: Entry | None = await self._write(lambda: self.store.insert(entry, now_ms=now_ms))
        return found

    async def swap(self, entry: Entry, *, now_ms: int) -> bool:
        self._look(entry)
        return bool(await self._write(lambda: self.store.swap(entry, now_ms=now_ms)))

    async def delete(self, key: str, version: int) -> bool:
        return await self.store.delete(key, version)

    async def read(self, keys: Sequence[str], *, now_ms: int) -> list[Entry | None]:
        return await self.store.read(keys, now_ms=now_ms)

    async def page(self, **options: Any) -> EntryPage:
        return await self.store.page(**options)

    async def counts(self, *, now_ms: int) -> dict[tuple[str, str], int]:
        return await self.store.counts(now_ms=now_ms)

    async def prune(self, *, now_ms: int, limit: int = 1000) -> int:
        return await self.store.prune(now_ms=now_ms, limit=limit)


class World:
    """A guard over such an endpoint; `other` is that of another process, on the same store."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.endpoint = Endpoint(from_url(f"sqlite:///{folder}/guard.db", namespace="shop"))
        self.guard = self._guard()
        self.other = self._guard()
        self.deliveries = 0

    def _guard(self) -> Guard:
        return Guard(self.endpoint, settings=BrokerSettings("shop"), clock=self.clock)

    async def begin(self, job: PushedJob, guard: Guard | None = None) -> Any:
        self.deliveries += 1
        worker = WorkerId(f"w.{self.deliveries}")
        return await (guard or self.guard).begin(job, worker=worker, lease_ms=LEASE_MS)

    async def start(self, job: PushedJob) -> Delivery:
        begun = await self.begin(job)
        assert isinstance(begun, Started)
        return begun.delivery

    async def record(self, job: PushedJob) -> Any:
        [found] = await self.guard.desk.records([job.job.id])
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.guard.open()
    await made.other.open()
    yield made
    await made.other.close()
    await made.guard.close()


def job(size: int = 10, **fields: Any) -> PushedJob:
    return PushedJob(NewJob(new_job_id(), "t", "q", b"x" * size, **fields))


# --- no answer


@pytest.mark.parametrize("applied", ["before", "later"])
@pytest.mark.parametrize("kind", ["insert", "swap"])
async def test_a_begin_without_an_answer_costs_no_crash_and_no_wait(
    world: World, kind: str, applied: str
) -> None:
    pushed = job()
    attempt = 1
    if kind == "swap":  # it waits for a retry
        delivery = await world.start(pushed)
        await world.guard.settle(delivery.lease, RetryAt(0, b""))
        pushed = PushedJob(pushed.job, 1)
        attempt = 2
    world.endpoint.lost, world.endpoint.delays = (1, 0) if applied == "before" else (0, 1)
    with pytest.raises(BrokerUnavailableError):
        await world.begin(pushed)
    for work in world.endpoint.late:
        await work()

    delivery = await world.start(pushed)

    assert (delivery.crashes, delivery.attempt) == (0, attempt)
    assert (await world.guard.settle(delivery.lease, Succeeded())).applied


async def test_what_is_applied_behind_the_next_begin_changes_nothing(world: World) -> None:
    pushed = job()
    world.endpoint.delays = 1
    with pytest.raises(BrokerUnavailableError):
        await world.begin(pushed)
    delivery = await world.start(pushed)
    for work in world.endpoint.late:
        await work()
    assert (delivery.crashes, delivery.attempt) == (0, 1)
    assert isinstance(await world.begin(pushed), Busy)
    assert (await world.guard.settle(delivery.lease, Succeeded())).applied
    assert isinstance(await world.begin(pushed), Complete)


async def test_several_begins_without_an_answer_are_all_remembered(world: World) -> None:
    pushed = job()
    for lost, delays in ((0, 1), (1, 0), (1, 0)):
        world.endpoint.lost, world.endpoint.delays = lost, delays
        with pytest.raises(BrokerUnavailableError):
            await world.begin(pushed)
    delivery = await world.start(pushed)
    assert (delivery.crashes, delivery.attempt) == (0, 1)


async def test_another_process_gets_the_lease_that_nobody_uses(world: World) -> None:
    pushed = job()
    world.endpoint.lost = 1
    with pytest.raises(BrokerUnavailableError):
        await world.begin(pushed)
    async with asyncio.timeout(20):
        while isinstance(begun := await world.begin(pushed, world.other), Busy):  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.01)
    assert isinstance(begun, Started)
    assert (begun.delivery.crashes, begun.delivery.attempt) == (0, 1)


async def test_a_crash_is_still_a_crash(world: World) -> None:
    pushed = job()
    await world.start(pushed)
    world.clock.advance(LEASE_MS + 1)
    world.endpoint.lost = 1
    with pytest.raises(BrokerUnavailableError):
        await world.begin(pushed)
    delivery = await world.start(pushed)
    assert (delivery.crashes, delivery.attempt) == (1, 2)


# --- a definite no


async def test_a_job_that_cannot_be_kept_ends_at_its_begin_with_the_reason(world: World) -> None:
    world.endpoint.most = SMALL
    large, small = job(LARGE, key="k"), job()
    assert isinstance(await world.begin(large), Complete)
    record = await world.record(large)
    assert (record.state, record.payload, record.task) == (JobState.FAILED, b"", "t")
    assert "413" in decode_history(record.history)[-1].message
    assert isinstance(await world.begin(large), Complete)  # once
    assert isinstance(await world.begin(small), Started)
    acted = await world.guard.desk.retry(large.job.id)
    assert not acted.done  # there is nothing to run


@pytest.mark.parametrize("outcome", [Succeeded(b"r" * LARGE), Failed(b"h" * LARGE), RetryAt(5, b"h" * LARGE)])
async def test_an_outcome_that_cannot_be_kept_ends_the_job_with_the_reason(
    world: World, outcome: Outcome
) -> None:
    pushed, other = job(), job()
    delivery, neighbour = await world.start(pushed), await world.start(other)
    world.endpoint.most = SMALL
    settled = await world.guard.settle(delivery.lease, outcome)
    assert settled.applied
    record = await world.record(pushed)
    assert (record.state, record.payload) == (JobState.FAILED, pushed.job.payload)
    assert "413" in decode_history(record.history)[-1].message
    assert isinstance(await world.begin(pushed), Complete)
    assert (await world.guard.desk.retry(pushed.job.id)).done
    assert (await world.guard.settle(neighbour.lease, Succeeded())).applied


async def test_a_job_whose_call_is_refused_at_its_end_ends_without_it(world: World) -> None:
    pushed = job(LARGE)
    delivery = await world.start(pushed)
    world.endpoint.most = SMALL  # the endpoint got another limit meanwhile
    assert (await world.guard.settle(delivery.lease, Released())).applied
    record = await world.record(pushed)
    assert (record.state, record.payload) == (JobState.FAILED, b"")


async def test_a_report_that_cannot_be_kept_is_dropped_alone(world: World) -> None:
    pushed, other = job(), job()
    delivery, neighbour = await world.start(pushed), await world.start(other)
    world.endpoint.most = SMALL
    reports = [
        Report(delivery.lease, LogLine(1, "INFO", "x" * LARGE)),
        Report(neighbour.lease, Progress(0.5, "half")),
    ]
    await world.guard.report(reports)
    assert (await world.record(other)).progress == 0.5
    assert (await world.guard.settle(delivery.lease, Succeeded())).applied
    assert (await world.record(pushed)).state is JobState.SUCCEEDED


async def test_a_log_goes_before_a_lease_does(world: World) -> None:
    pushed, other = job(), job()
    delivery, neighbour = await world.start(pushed), await world.start(other)
    await world.guard.report([Report(delivery.lease, LogLine(1, "INFO", "x" * LARGE))])
    world.endpoint.most = SMALL
    states = await world.guard.extend([delivery.lease, neighbour.lease], LEASE_MS)
    assert states == [LeaseState.HELD, LeaseState.HELD]
    assert await world.guard.desk.logs(pushed.job.id) == []


async def test_a_lease_that_cannot_be_extended_ends_the_job_alone(world: World) -> None:
    pushed, other = job(LARGE), job()
    delivery, neighbour = await world.start(pushed), await world.start(other)
    world.endpoint.most = SMALL
    states = await world.guard.extend([delivery.lease, neighbour.lease], LEASE_MS)
    assert states == [LeaseState.LOST, LeaseState.HELD]
    assert (await world.record(pushed)).state is JobState.FAILED


async def test_a_body_that_cannot_be_kept_is_put_down_without_it(world: World) -> None:
    world.endpoint.most = SMALL
    job_id = new_job_id()
    await world.guard.reject(job_id, "q", b"?" * LARGE, b"")
    page = await world.guard.desk.page(JobQuery(), after=None, limit=10)
    assert [(found.id, found.payload) for found in page.jobs] == [(job_id, b"")]


async def test_a_schedule_that_cannot_be_kept_is_named_and_the_others_are_declared(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.endpoint.most = SMALL
    records = [
        ScheduleRecord(name, spec, "t") for name, spec in (("a", "x"), ("bad", "x" * LARGE), ("c", "x"))
    ]
    await world.guard.declare_schedules(records)
    assert [found.name for found in await world.guard.schedules()] == ["a", "c"]
    assert "bad" in caplog.text


async def test_a_store_that_refuses_everything_condemns_nobody(world: World) -> None:
    pushed = job()
    delivery = await world.start(pushed)
    world.endpoint.refuses_all = True
    for call in (
        world.begin(job()),
        world.guard.settle(delivery.lease, Succeeded()),
        world.guard.extend([delivery.lease], LEASE_MS),
        world.guard.report([Report(delivery.lease, Progress(0.5))]),
        world.guard.reject(new_job_id(), "q", b"?", b""),
        world.guard.declare_schedules([ScheduleRecord("a", "x", "t")]),
    ):
        with pytest.raises(ServerRefusesError):
            await call
    world.endpoint.refuses_all = False
    assert (await world.guard.settle(delivery.lease, Succeeded())).applied


async def test_a_job_that_is_refused_in_any_form_counts_as_a_store_that_is_away(world: World) -> None:
    world.endpoint.most = 0
    with pytest.raises(BrokerRefusedError):
        await world.begin(job())
    world.endpoint.most = None
    assert isinstance(await world.begin(job()), Started)


async def test_a_fire_time_of_another_schedule_goes_on(world: World) -> None:
    await world.guard.declare_schedules([ScheduleRecord("a", "x", "t"), ScheduleRecord("c", "x", "t")])
    new = NewJob(new_job_id(), "t", "q", b"")
    assert await world.guard.reserve_fire(new, Fire("a", 1)) == (new.id, False)
