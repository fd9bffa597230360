"""The guard over real stores that freeze, refuse one value, or hold damaged entries."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from headway.brokers.base import BrokerSettings, JobQuery, LeaseState, ScheduleRecord
from headway.brokers.cloudtasks.queue_names import QueueNames
from headway.clock import SystemClock
from headway.codec import decode_history
from headway.errors import BrokerRefusedError, BrokerUnavailableError, CodecError
from headway.guards.base import Entry
from headway.guards.beginning import Started
from headway.guards.document import PushedJob, entry_key
from headway.guards.guard import Guard
from headway.guards.reservations import _entry_key
from headway.guards.transitions import Busy, Complete
from headway.guards.url import from_url
from headway.job import Fire, JobState, NewJob, Succeeded, WorkerId, new_job_id
from headway.storage import patience
from headway.testing import FakeClock
from tests.integration.guard_places import KINDS, NETWORKED, Place, shared_place
from tests.servers import PostgresServer, RedisServer, RestProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from headway.guards.base import GuardStore

LEASE_MS: Final = 3_600_000  # nobody waits for its end here
DAY_MS: Final = 86_400_000


def guard_of(place: Place) -> Guard:
    return Guard(
        from_url(place.url, namespace=place.namespace),
        settings=BrokerSettings(place.namespace),
        clock=FakeClock(),
    )


@asynccontextmanager
async def freezable(
    kind: str, namespace: str, folder: Path
) -> AsyncIterator[tuple[Place, Callable[[], Any], Callable[[], Any]]]:
    """A place of its own, what freezes it, and what lets it go on."""
    if kind == "sqlite":
        path = folder / "guard.db"
        async with Place(kind, f"sqlite:///{path}", namespace).open():
            pass  # the file is there
        other = sqlite3.connect(path, isolation_level=None)
        yield (
            Place(kind, f"sqlite:///{path}?timeout=0.2", namespace),
            lambda: other.execute("BEGIN IMMEDIATE"),
            lambda: other.execute("ROLLBACK"),
        )
        other.close()
    elif kind == "postgres":
        with PostgresServer() as postgres:
            place = Place(kind, postgres.url, namespace, postgres.port)
            async with place.open():
                pass  # the table is there
            with psycopg.connect(postgres.url) as locking:
                yield (
                    place,
                    lambda: locking.execute("LOCK TABLE headway_guard IN ACCESS EXCLUSIVE MODE"),
                    locking.rollback,
                )
    else:
        with RedisServer() as redis, RestProxy(redis) as proxy:
            url = redis.url if kind == "redis" else proxy.url
            yield Place(kind, url, namespace), redis.pause, redis.resume


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("same_process", [True, False])
async def test_a_store_that_froze_during_a_delivery_condemns_nobody(
    kind: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, same_process: bool
) -> None:
    monkeypatch.setattr(patience, "ANSWER_TIMEOUT", 0.4)
    monkeypatch.setattr(patience, "CALL_DEADLINE", 1.0)
    async with freezable(kind, namespace, tmp_path) as (place, freeze, go_on):
        guards = [guard_of(place), guard_of(place)]
        for guard in guards:
            await guard.open()
        pushed = PushedJob(NewJob(new_job_id(), "t", "q", b"x"))
        freeze()
        with pytest.raises(BrokerUnavailableError):
            await guards[0].begin(pushed, worker=WorkerId("a.1"), lease_ms=LEASE_MS)
        go_on()
        monkeypatch.undo()
        if same_process:
            begun = await guards[0].begin(pushed, worker=WorkerId("a.2"), lease_ms=LEASE_MS)
        else:
            async with asyncio.timeout(40):
                while isinstance(  # noqa: ASYNC110 - a store tells nobody
                    begun := await guards[1].begin(pushed, worker=WorkerId("b.1"), lease_ms=LEASE_MS), Busy
                ):
                    await asyncio.sleep(0.05)
        assert isinstance(begun, Started)
        assert (begun.delivery.crashes, begun.delivery.attempt) == (0, 1)
        settling = guards[0] if same_process else guards[1]
        assert (await settling.settle(begun.delivery.lease, Succeeded())).applied
        [record] = await guards[0].desk.records([pushed.job.id])
        assert record is not None
        assert (record.state, record.crashes) == (JobState.SUCCEEDED, 0)
        for guard in guards:
            await guard.close()


# --- clocks


class SetClock(SystemClock):
    """The clock of a machine that is set by hand."""

    def __init__(self, off_ms: int = 0) -> None:
        self.off_ms = off_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.off_ms


def guard_with(place: Place, clock: SetClock) -> Guard:
    store = from_url(place.url, namespace=place.namespace)
    return Guard(store, settings=BrokerSettings(place.namespace), clock=clock)


@pytest.mark.parametrize("place", NETWORKED, indirect=True)
@pytest.mark.parametrize("jumps", ["the other", "the holder", "the holder back"])
async def test_a_clock_that_jumps_takes_no_job_from_who_runs_it(place: Place, jumps: str) -> None:
    ours, others = SetClock(), SetClock()
    holder, other = guard_with(place, ours), guard_with(place, others)
    await holder.open()
    await other.open()
    pushed = PushedJob(NewJob(new_job_id(), "t", "q", b"x"))
    begun = await holder.begin(pushed, worker=WorkerId("a"), lease_ms=60_000)
    assert isinstance(begun, Started)
    (others if jumps == "the other" else ours).off_ms = (
        -3_600_000 if jumps == "the holder back" else 3_600_000
    )
    for _ in range(2):
        assert await holder.extend([begun.delivery.lease], 60_000) == [LeaseState.HELD]
        found = await other.begin(pushed, worker=WorkerId("b"), lease_ms=60_000)
        assert isinstance(found, Busy)
        assert found.retry_in_ms <= 61_000  # nobody waits for an hour either
    assert (await holder.settle(begun.delivery.lease, Succeeded())).applied
    [record] = await other.desk.records([pushed.job.id])
    assert record is not None
    assert (record.state, record.crashes) == (JobState.SUCCEEDED, 0)
    await holder.close()
    await other.close()


@pytest.mark.parametrize("place", NETWORKED, indirect=True)
@pytest.mark.parametrize(("ours", "others"), [(-3_600_000, 0), (0, 3_600_000), (3_600_000, -3_600_000)])
async def test_clocks_that_are_off_from_the_start_take_no_job_from_who_runs_it(
    place: Place, ours: int, others: int
) -> None:
    holder, other = guard_with(place, SetClock(ours)), guard_with(place, SetClock(others))
    await holder.open()
    await other.open()
    pushed = PushedJob(NewJob(new_job_id(), "t", "q", b"x"))
    begun = await holder.begin(pushed, worker=WorkerId("a"), lease_ms=60_000)
    assert isinstance(begun, Started)
    found = await other.begin(pushed, worker=WorkerId("b"), lease_ms=60_000)
    assert isinstance(found, Busy)
    assert found.retry_in_ms <= 61_000
    assert (await holder.settle(begun.delivery.lease, Succeeded())).applied
    await holder.close()
    await other.close()


@pytest.mark.parametrize("place", NETWORKED, indirect=True)
async def test_a_host_that_is_a_day_ahead_fires_no_schedule_before_its_time(place: Place) -> None:
    ahead, right = guard_with(place, SetClock(DAY_MS)), guard_with(place, SetClock())
    await ahead.open()
    await right.open()
    now = SystemClock().now_ms()
    early = Fire("daily", now + DAY_MS)
    with pytest.raises(BrokerRefusedError, match="set the clock of this host"):
        await ahead.reserve_fire(NewJob(new_job_id(), "t", "q", b"x", fire=early), early)
    due = Fire("daily", now)
    job = NewJob(new_job_id(), "t", "q", b"x", fire=due)
    for guard in (ahead, right):  # what is due is made by either, and once
        assert await guard.reserve_fire(job, due) == (job.id, False)
    await right.confirm_fire(job.id, due)
    assert await ahead.reserve_fire(job, due) == (job.id, True)
    await ahead.close()
    await right.close()


@pytest.mark.parametrize("place", NETWORKED, indirect=True)
async def test_the_clock_of_a_store_costs_nothing_while_all_is_well(place: Place) -> None:
    guard = guard_with(place, SetClock())
    await guard.open()
    async with place.open() as store:
        clock = await store.clock_ms()
        assert clock is not None
        assert abs(clock - SystemClock().now_ms()) < 30_000  # the same machine, however busy
    before = guard.stats.commands
    for _ in range(5):
        pushed = PushedJob(NewJob(new_job_id(), "t", "q", b"x"))
        begun = await guard.begin(pushed, worker=WorkerId("a"), lease_ms=60_000)
        assert isinstance(begun, Started)
        await guard.settle(begun.delivery.lease, Succeeded())
    # One more for the clock, with the first job, and two where the server did not know the scripts yet.
    assert guard.stats.commands - before <= 10 + 1 + 2
    await guard.close()


# --- one value is refused


async def test_an_endpoint_that_takes_no_large_value_ends_that_job_alone(
    redis_server: RedisServer, namespace: str
) -> None:
    with RestProxy(redis_server) as proxy:
        guard = guard_of(Place("http_redis", proxy.url, namespace))
        await guard.open()
        proxy.take_at_most(16_000)
        large, small = (PushedJob(NewJob(new_job_id(), "t", "q", b"x" * size)) for size in (30_000, 10))
        worker = WorkerId("w")
        assert isinstance(await guard.begin(large, worker=worker, lease_ms=LEASE_MS), Complete)
        begun = await guard.begin(small, worker=worker, lease_ms=LEASE_MS)
        assert isinstance(begun, Started)
        assert (await guard.settle(begun.delivery.lease, Succeeded(b"r" * 30_000))).applied
        for job in (large, small):
            [record] = await guard.desk.records([job.job.id])
            assert record is not None
            assert record.state is JobState.FAILED
            assert "too large" in decode_history(record.history)[-1].message
        await guard.close()


# --- what is damaged


RUBBISH: Final = (
    b"",
    b"\xc1",
    b"\x91" * 5000 + b"\xc0",
    b"\xff\xfe",
    json.dumps({"a": 1}).encode(),
    b"\x81\xa4name\x05",
)


async def damage(store: GuardStore, key: str, data: bytes) -> None:
    [there] = await store.read([key], now_ms=0)
    assert there is not None
    changed = Entry(key, there.version + 1, there.group, there.tag, there.changed_ms, there.forget_ms, data)
    assert await store.swap(changed, now_ms=0)


@pytest.fixture
def place(request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Place:
    return shared_place(request.param, namespace, tmp_path, request)


@pytest.mark.parametrize("place", KINDS, indirect=True)
@pytest.mark.parametrize("data", RUBBISH)
async def test_damaged_documents_of_any_kind_are_named_and_passed_over(
    place: Place, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    guard = guard_of(place)
    await guard.open()
    async with place.open() as store:
        schedules = [ScheduleRecord(name, "cron", "t") for name in ("bad", "good")]
        await guard.declare_schedules(schedules)
        jobs = [PushedJob(NewJob(new_job_id(), "t", "q", b"x", key=key)) for key in ("one", "two")]
        for job in jobs:
            await guard.reservations.reserve(job.job, str(job.job.key))
            await guard.begin(job, worker=WorkerId("w"), lease_ms=1)
        bad, good = jobs
        for name in ("schedule/bad", entry_key(bad.job.id), _entry_key("one")):
            await damage(store, name, data)

        assert [schedule.name for schedule in await guard.schedules()] == ["good"]
        assert "schedule/bad" in caplog.text
        fire = NewJob(new_job_id(), "t", "q", b"x")
        assert await guard.reserve_fire(fire, Fire("good", 5)) == (fire.id, False)
        with pytest.raises(CodecError, match="schedule/bad"):
            await guard.reserve_fire(fire, Fire("bad", 5))
        page = await guard.desk.page(JobQuery(), after=None, limit=10)
        assert [found.id for found in page.jobs] == [good.job.id]
        assert isinstance(await guard.begin(bad, worker=WorkerId("w"), lease_ms=1), Complete)
        [record] = await guard.desk.records([bad.job.id])
        assert record is not None
        assert record.state is JobState.FAILED
        reserved = await guard.reservations.reserve(fire, "one")
        assert reserved.holder.id == fire.id  # its key is free

        await guard.declare_schedules(schedules)
        assert [schedule.name for schedule in await guard.schedules()] == ["bad", "good"]
        await keep_queue_names(store, data)
        assert await names_kept(store) == {"good": "mail"}
    await guard.close()


async def keep_queue_names(store: GuardStore, data: bytes) -> None:
    for name, text in (("good", b"mail"), ("bad", b"\xff" + data)):
        assert await store.insert(Entry(f"queue/{name}", 1, ":queue", "", 0, None, text), now_ms=0) is None


async def names_kept(store: GuardStore) -> dict[str, str]:
    class Keeping:
        async def store(self) -> GuardStore:
            return store

    nothing: Any = None
    keeping: Any = Keeping()
    return await QueueNames(nothing, keeping, FakeClock()).kept()
