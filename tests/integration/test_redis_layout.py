"""What the Redis carrier costs the server and how it copes with strange contents: memory, connections, commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import BrokerSettings, JobQuery, QueueWant, Wake
from headway.brokers.redis.broker import RedisBroker
from headway.brokers.redis.scripts import script
from headway.errors import ConfigError
from headway.job import JobState, WorkerId
from tests.integration.redis_app import LEASE_MS, WORKER, broker, claim, job, succeed

if TYPE_CHECKING:
    from tests.servers import RedisServer


@pytest.mark.parametrize(("arguments", "most"), [(200, 350), (1000, 1200)])
async def test_memory_of_a_waiting_job(
    own_redis_server: RedisServer, namespace: str, arguments: int, most: int
) -> None:
    """At 100,000 jobs, all that the server holds for them counted."""
    async with broker(own_redis_server.url, namespace) as carrier:
        await carrier.enqueue([job()])
        await claim(carrier)
        before = int(own_redis_server.info("memory")["used_memory"])
        for _ in range(100):
            await carrier.enqueue([job(payload=b"x" * (arguments + 11)) for _ in range(1000)])
        used = int(own_redis_server.info("memory")["used_memory"]) - before
        assert used / 100_000 <= most


async def test_a_process_has_at_most_three_connections(own_redis_server: RedisServer, namespace: str) -> None:
    """For 500 queues, ten workers, waits and events as for one."""
    async with broker(own_redis_server.url, namespace) as carrier:
        one = job()
        await carrier.enqueue([one, *(job(f"q{i}") for i in range(500))])
        signals = [carrier.signals(WorkerId(f"w{i}")) for i in range(10)]
        assert [await anext(stream) for stream in signals] == [Wake()] * 10
        waiting = asyncio.create_task(carrier.wait_finished(one.id, None))
        events = carrier.events()
        watching = asyncio.ensure_future(anext(events))
        wants = [QueueWant(f"q{i}", 5) for i in range(500)] + [QueueWant("q", 5)]
        claimed = await carrier.claim(wants, worker=WORKER, limit=1000, lease_ms=LEASE_MS)
        assert len(claimed.deliveries) == 501
        clients = str(own_redis_server.call("CLIENT", "LIST")).splitlines()
        names = [line for line in clients if f"name=headway:{namespace}:" in line]
        assert len(names) == 2
        assert {role for line in names for role in ("command", "listen") if f":{role}:" in line} == {
            "command",
            "listen",
        }
        await succeed(carrier, claimed.deliveries)
        record = await waiting
        assert record is not None
        assert record.state is JobState.SUCCEEDED
        await watching
        await events.aclose()  # type: ignore[attr-defined]  # an async generator
        for stream in signals:
            await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_an_idle_worker_sends_nothing(own_redis_server: RedisServer, namespace: str) -> None:
    async with broker(own_redis_server.url, namespace) as carrier:
        signals = carrier.signals(WORKER)
        await anext(signals)
        await claim(carrier)
        before = int(own_redis_server.info("stats")["total_commands_processed"])
        listening = asyncio.ensure_future(anext(signals))
        done, _ = await asyncio.wait({listening}, timeout=1.0)
        assert not done
        assert int(own_redis_server.info("stats")["total_commands_processed"]) - before <= 1  # our own INFO
        listening.cancel()


async def test_apps_of_one_server_never_meet(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as one, broker(redis_url, namespace + "2") as two:
        await one.enqueue([job(key="k")])
        assert (await two.enqueue([job(key="k")]))[0].duplicate_of is None
        await one.pause("q")
        assert len(await claim(two)) == 1
        assert await two.paused() == frozenset()
        assert len((await two.list(JobQuery())).jobs) == 1


@pytest.mark.parametrize("name", ["", "a{b", "a}b", "a\nb", "a\x00b", "x" * 129])
def test_a_namespace_that_cannot_be_a_hash_tag_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        broker("redis://localhost", name)


async def test_a_namespace_may_hold_any_visible_character(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, f"{namespace} büro:1*?[x]") as carrier:
        await carrier.enqueue([job()])
        assert len(await claim(carrier)) == 1


@pytest.mark.parametrize("column", ["j", "m"])
async def test_damaged_records_stop_nobody(redis_url: str, namespace: str, column: str) -> None:
    """They go to the dead-letter state with a reason; the others are handed out and listed."""
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(3)]
        await carrier.enqueue(jobs)
        await _command(carrier, "HSET", column, jobs[1].id, b"\xff\x00|garbage")
        deliveries = await claim(carrier)
        assert [one.lease.job_id for one in deliveries] == [jobs[0].id, jobs[2].id]
        listed = (await carrier.list(JobQuery(states=(JobState.RUNNING,)))).jobs
        assert {one.id for one in listed} == {jobs[0].id, jobs[2].id}
        (record,) = await carrier.get([jobs[1].id])
        if column == "m":
            assert record is not None
            assert (record.state, "damaged" in record.reason) == (JobState.FAILED, True)


async def test_a_job_of_an_unknown_kind_is_buried(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(2)]
        await carrier.enqueue(jobs)
        await _command(carrier, "HSET", "j", jobs[0].id, b"77:payload")
        assert [one.lease.job_id for one in await claim(carrier)] == [jobs[1].id]
        assert await _command(carrier, "HEXISTS", "run", jobs[0].id) == 0
        assert (await _command(carrier, "HGET", "done", jobs[0].id)).startswith(b"F|77|")


async def test_one_worker_is_woken_for_each_job(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        workers = [WorkerId(f"w{i}") for i in range(3)]
        signals = [carrier.signals(worker) for worker in workers]
        for worker, stream in zip(workers, signals, strict=True):
            await anext(stream)
            await claim(carrier, worker=worker)
        woken = [asyncio.ensure_future(anext(stream)) for stream in signals]
        for count in (1, 2, 3):
            await carrier.enqueue([job()])
            async with asyncio.timeout(10):
                while sum(task.done() for task in woken) < count:  # noqa: ASYNC110 - which task is woken is free
                    await asyncio.sleep(0.005)
            await carrier.counts()  # a full round trip: another wake would have arrived
            assert sum(task.done() for task in woken) == count
        for stream in signals:
            await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_wakes_skip_workers_that_are_gone(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        for i in range(20):
            await claim(carrier, worker=WorkerId(f"dead{i}"))
        signals = carrier.signals(WORKER)
        await anext(signals)
        await claim(carrier)
        await carrier.enqueue([job()])
        async with asyncio.timeout(10):
            assert await anext(signals) == Wake()
        await signals.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_whoever_leaves_jobs_behind_wakes_the_next(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        first, second = WorkerId("w1"), WorkerId("w2")
        signals = carrier.signals(second)
        await anext(signals)
        await claim(carrier, worker=second)
        await _command(carrier, "SADD", "live", "5:q")
        await _command(carrier, "SREM", "classes", "none")
        await carrier.enqueue([job() for _ in range(5)])
        async with asyncio.timeout(10):
            assert await anext(signals) == Wake()
        await claim(carrier, 100, worker=WorkerId("w3"))
        await claim(carrier, 1, worker=second)  # idle again
        await carrier.pause("q")
        await carrier.enqueue([job() for _ in range(5)])
        async with asyncio.timeout(10):
            assert await anext(signals) == Wake()
        await claim(carrier, 1, worker=second)
        await carrier.resume("q")
        async with asyncio.timeout(10):
            assert await anext(signals) == Wake()
        await claim(carrier, 6, worker=first)
        await signals.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_server_info(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        info = await carrier.server_info()
    assert info.product in {"redis", "valkey"}
    assert info.version
    assert info.maxmemory_policy == "noeviction"
    assert (info.aof, info.rdb) == (True, False)
    assert abs(info.clock_skew_ms) < 1000
    assert info.connected_clients >= 1


async def test_the_server_clock_counts_when_no_other_is_given(redis_url: str, namespace: str) -> None:
    carrier = RedisBroker.from_url(redis_url, BrokerSettings(namespace=namespace))
    async with carrier:
        info = await carrier.server_info()
        await carrier.enqueue([job()])
        (delivery,) = await claim(carrier)
        (record,) = await carrier.get([delivery.lease.job_id])
        assert record is not None
        assert record.started_ms is not None
        assert abs(record.started_ms - record.enqueued_ms - info.clock_skew_ms) < 10_000


def test_scripts_are_joined_with_what_they_include() -> None:
    one = script("claim")
    assert b"@include" not in one.source
    assert b"local function maintain" in one.source
    assert len(one.sha) == 40


async def _command(carrier: RedisBroker, name: str, key: str, *parts: Any) -> Any:
    return await carrier._session.command(name, f"{carrier._session.prefix}{key}", *parts)
