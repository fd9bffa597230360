"""Whatever stands in one record, the others are claimed, listed and counted, and the one is shown as far as it can be read."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.brokers.base import Handed, JobQuery, LogLine, Progress, QueueWant, Report, Wake
from headway.brokers.redis.keys import event_channel, process_channel, worker_channel
from headway.job import JobState, UniqueLock, UniqueMode, WorkerId
from tests.integration.redis_app import LEASE_MS, WORKER, broker, claim, job, succeed

if TYPE_CHECKING:
    from headway.brokers.redis.broker import RedisBroker

MANY = b"9" * 5000  # more digits than Python turns into a number
PIECES = st.sampled_from(
    [b"", b"0", b"1", b"-", b"-1", b"-" + MANY, MANY, b"9" * 18, b"9" * 30, b"x", b"\xff", b"inf", b"1.5"]
)
VALUES = st.one_of(
    st.binary(max_size=40),
    st.lists(PIECES, min_size=1, max_size=14).map(b"|".join),
    st.tuples(st.sampled_from([b"S|", b"F|", b"Z|", b""]), st.lists(PIECES, min_size=7, max_size=13)).map(
        lambda parts: parts[0] + b"|".join(parts[1])
    ),
    st.tuples(PIECES, st.binary(max_size=5)).map(b":".join),
)
COLUMNS = ("j", "m", "run", "done", "prog", "keyof", "creq", "uof", "withdrawn")


async def _command(carrier: RedisBroker, name: str, key: str, *parts: Any) -> Any:
    return await carrier._session.command(name, f"{carrier._session.prefix}{key}", *parts)


async def _look_at_all(carrier: RedisBroker) -> None:
    after = None
    for _ in range(20):
        page = await carrier.list(JobQuery(), after=after, limit=2)
        after = page.cursor
        if after is None:
            break
    await carrier.counts()
    await carrier.workers()
    await carrier.schedules()
    await carrier.tend()


@given(column=st.sampled_from(COLUMNS), value=VALUES, running=st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_one_hostile_record_harms_no_other(
    redis_url: str, column: str, value: bytes, *, running: bool
) -> None:
    async with broker(redis_url, f"t{uuid4().hex[:12]}") as carrier:
        jobs = [job() for _ in range(3)]
        await carrier.enqueue(jobs)
        taken = await claim(carrier) if running else []
        await _command(carrier, "HSET", column, jobs[1].id, value)
        await _look_at_all(carrier)
        records = await carrier.get([one.id for one in jobs])
        assert [one and one.id for one in records] == [one.id for one in jobs]
        await carrier.logs(jobs[1].id)
        taken = taken or await claim(carrier)
        assert {jobs[0].id, jobs[2].id} <= {one.lease.job_id for one in taken}
        await succeed(carrier, taken)
        await _look_at_all(carrier)
        states = [one and one.state for one in await carrier.get([jobs[0].id, jobs[2].id])]
        assert states == [JobState.SUCCEEDED] * 2
        await carrier.surrender(WORKER, started=None)
        await carrier.cancel([jobs[1].id])
        await carrier.withdraw([one.id for one in jobs], "by hand")
        await carrier.retry([jobs[1].id])
        await carrier.promote([jobs[1].id])
        await succeed(carrier, await claim(carrier))
        await carrier.remove([jobs[1].id])
        await _look_at_all(carrier)


@given(
    key=st.sampled_from(["n", "holds", "tombs", "fire", "sch", "kinds", "u", "uh", "at", "hand", "waiters"]),
    field=st.one_of(st.binary(max_size=9), st.sampled_from([b"D:1", b"S:1", WORKER.encode(), b"1", b"5:q"])),
    value=VALUES,
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_one_hostile_field_makes_nothing_unreadable(
    redis_url: str, key: str, field: bytes, value: bytes
) -> None:
    async with broker(redis_url, f"t{uuid4().hex[:12]}") as carrier:
        await carrier.enqueue([job()])
        await succeed(carrier, await claim(carrier))
        await carrier.enqueue([job(), job(due_ms=2**45)])
        await claim(carrier)
        await _command(carrier, "HSET", key, field, value)
        await carrier.counts()
        await carrier.workers()
        await carrier.schedules()
        await carrier.list(JobQuery())


@given(members=st.lists(st.binary(max_size=9), max_size=4), lists=st.lists(st.binary(max_size=9), max_size=3))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_hostile_members_of_lists_and_sets_stop_nobody(
    redis_url: str, members: list[bytes], lists: list[bytes]
) -> None:
    async with broker(redis_url, f"t{uuid4().hex[:12]}") as carrier:
        first, second = job(), job()
        await carrier.enqueue([first, second])
        for member in members:
            await _command(carrier, "RPUSH", "r:5:q", member)
            for key in ("sched", "exp", "leases", "done:F"):
                await _command(carrier, "ZADD", key, "-inf" if len(member) % 2 else "inf", member)
            await _command(carrier, "RPUSH", "done:S", member)
            await _command(carrier, "SADD", "paused", b"\xff" + member)
        for name in lists:
            await _command(carrier, "SADD", "live", name)
        await _look_at_all(carrier)
        ids = {one.lease.job_id for one in await claim(carrier)}
        assert ids == {first.id, second.id}
        await _look_at_all(carrier)


@pytest.mark.parametrize("fraction", [True, 1, Decimal("0.5")])
async def test_progress_of_another_type_is_stored_as_a_number(
    redis_url: str, namespace: str, fraction: Any
) -> None:
    async with broker(redis_url, namespace) as carrier:
        one = job()
        await carrier.enqueue([one])
        (delivery,) = await claim(carrier)
        await carrier.report([Report(delivery.lease, Progress(fraction, "half \ud800"))])
        await carrier.report([Report(delivery.lease, LogLine(1, "info", "half \ud800"))])
        (record,) = await carrier.get([one.id])
        assert record is not None
        assert record.progress == float(fraction)
        assert len(await carrier.logs(one.id)) == 1


async def test_a_worker_that_was_given_an_unreadable_record_claims_again_at_once(
    redis_url: str, namespace: str
) -> None:
    """The script counts on what it hands out to keep the worker busy, and wakes it no more."""
    async with broker(redis_url, namespace) as carrier:
        await carrier.enqueue([job(), job()])
        first = (await _command(carrier, "LRANGE", "r:5:q", -1, -1))[0]
        await _command(carrier, "HSET", "j", first, b"77:unknown kind")
        wants = [QueueWant("q", 1)]
        claimed = await carrier.claim(wants, worker=WORKER, limit=1, lease_ms=LEASE_MS)
        assert (claimed.deliveries, claimed.next_in_ms) == ([], 0)
        assert len(await claim(carrier, 1)) == 1


MESSAGES = [
    b"",
    b"J",
    b"J" + MANY + b"|x|1|",
    b"J1|x|" + MANY + b"|",
    b"J1|\xff|1|",
    b"C\xff",
    b"\xff",
    b"Z" * 9000,
]


@pytest.mark.parametrize("content", MESSAGES)
async def test_a_malformed_message_is_dropped_and_said_once(
    redis_url: str, namespace: str, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with broker(redis_url, namespace) as carrier:
        start = carrier._session.prefix
        signals = carrier.signals(WORKER, handed=True)
        assert await anext(signals) == Wake()
        waiting_for, other = job(queue="later"), job()
        await carrier.enqueue([waiting_for])
        end = asyncio.ensure_future(carrier.wait_finished(waiting_for.id, 30_000))
        events = carrier.events()
        event = asyncio.ensure_future(anext(events))
        while not await _command(carrier, "HEXISTS", "waiters", waiting_for.id):  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.005)
        listened: list[Any] = [event_channel(start).encode(), 1]
        while await carrier._session.command("PUBSUB", "NUMSUB", listened[0]) != listened:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        for channel in (
            worker_channel(start, WORKER),
            event_channel(start),
            process_channel(start, carrier._waits._token),
        ):
            for _ in range(2):
                assert await carrier._session.command("PUBLISH", channel, content) == 1
        assert await claim(carrier) == []
        await carrier.enqueue([other])
        async with asyncio.timeout(10):
            while not isinstance(await anext(signals), Handed | Wake):
                pass
            await event
            [delivery] = (
                await carrier.claim(
                    [QueueWant("later", 1)], worker=WorkerId("w2"), limit=1, lease_ms=LEASE_MS
                )
            ).deliveries
            await succeed(carrier, [delivery])
            record = await end
        assert record is not None
        assert record.state is JobState.SUCCEEDED
        said = [one for one in caplog.messages if "dropped" in one]
        assert len(said) == len(set(said))
        assert bool(said) == content.startswith(b"J")
        await cast("Any", events).aclose()
        await cast("Any", signals).aclose()


@given(value=VALUES, waits=st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_hostile_lock_harms_no_other(redis_url: str, value: bytes, *, waits: bool) -> None:
    async with broker(redis_url, f"t{uuid4().hex[:12]}") as carrier:
        lock = UniqueLock("u", UniqueMode.KEEP_LAST)
        jobs = [job(unique=lock), job()]
        await carrier.enqueue(jobs)
        if not waits:
            await claim(carrier, 1)
            await carrier.enqueue([job(unique=lock)])
        await _command(carrier, "HSET", "u", "u", value)
        records = await carrier.get([one.id for one in jobs])
        assert [one and one.id for one in records] == [one.id for one in jobs]
        held = await carrier.find_held([job(unique=lock), job(key="k")])
        assert held[1] is None
        assert (await carrier.withdraw([jobs[1].id], "by hand"))[0] is not None
        await carrier.withdraw([jobs[0].id], "by hand")
        await carrier.enqueue_held([job(unique=lock)])
        await carrier.enqueue([job(unique=lock)])
        await carrier.tend()
