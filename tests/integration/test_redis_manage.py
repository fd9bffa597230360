"""Acts by hand: bounded whatever is beside what they are about, and the repeat of a lost answer tells what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import JobQuery, QueueWant, Settlement
from headway.job import Failed, JobState, Succeeded
from tests.integration.redis_app import LEASE_MS, WORKER, broker, claim, job
from tests.servers import Direction, TcpProxy

if TYPE_CHECKING:
    from headway.brokers.redis.broker import RedisBroker
    from headway.job import JobId

MANY = 20_000
SOME = 1_000


async def _fail(carrier: RedisBroker, ids: int) -> None:
    await carrier.settle([Settlement(one.lease, Failed(b"h")) for one in await claim(carrier, ids)])


async def _act(carrier: RedisBroker, act: str, ids: list[JobId]) -> Any:
    match act:
        case "drain":
            return await carrier.drain("q")
        case "clean":
            return await carrier.clean(JobState.FAILED, older_than_ms=-1)
        case "cancel":
            return [one.state for one in await carrier.cancel(ids)]
        case _:
            return await getattr(carrier, act)(ids)


@pytest.mark.parametrize("act", ["retry", "promote", "remove", "drain", "clean", "cancel"])
async def test_a_lost_answer_is_told_again(redis_proxy: TcpProxy, namespace: str, act: str) -> None:
    url = f"redis://127.0.0.1:{redis_proxy.port}/0"
    async with broker(url, namespace) as carrier:
        jobs = [job(due_ms=2**45 if act == "promote" else None) for _ in range(5)]
        await carrier.enqueue(jobs)
        ids = [one.id for one in jobs]
        if act in {"retry", "clean"}:
            await _fail(carrier, 5)
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        answer = await _act(carrier, act, ids)
        await redis_proxy.wait_reset()
        told = {"drain": 5, "clean": 5, "cancel": [JobState.CANCELLED] * 5}
        assert answer == told.get(act, [True] * 5)
        if act != "cancel":
            again = await _act(carrier, act, ids)  # another act
            assert again == (0 if act in told else [False] * 5)


async def test_a_withdrawal_whose_answer_was_lost_loses_no_job(redis_proxy: TcpProxy, namespace: str) -> None:
    async with broker(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace) as carrier:
        jobs = [job(key=f"k{number}", payload=b"%d" % number) for number in range(5)]
        await carrier.enqueue(jobs)
        before = await carrier.get([one.id for one in jobs])
        redis_proxy.reset_after(0, Direction.TO_CLIENT)
        assert await carrier.withdraw([one.id for one in jobs], "moved") == before
        await redis_proxy.wait_reset()


async def _walks(carrier: RedisBroker) -> int:
    """Count the calls so far that may walk through a list."""
    stats = (await carrier._session.command("INFO", "commandstats")).decode().splitlines()
    calls = [line for line in stats if line.startswith(("cmdstat_lrem:", "cmdstat_linsert:"))]
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in calls)


async def test_no_act_walks_through_what_is_beside_its_jobs(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        jobs = [job() for _ in range(MANY)]
        await carrier.enqueue(jobs)
        ids = [one.id for one in jobs]
        await carrier.cancel(ids)
        before = await _walks(carrier)
        assert await carrier.retry(ids[-SOME:]) == [True] * SOME
        assert await carrier.remove(ids[:SOME]) == [True] * SOME
        assert await carrier.cancel(ids[-SOME:]) != []
        assert await carrier.retry(ids[-SOME:]) == [True] * SOME
        await carrier.enqueue(jobs[:SOME])  # the ids of removed jobs, whose entries are there still
        pages = [await carrier.list(JobQuery(states=(JobState.READY,)), limit=1000)]
        while pages[-1].cursor is not None:
            pages.append(
                await carrier.list(JobQuery(states=(JobState.READY,)), after=pages[-1].cursor, limit=1000)
            )
        listed = [one.id for page in pages for one in page.jobs]
        assert sorted(listed) == sorted({*ids[-SOME:], *ids[:SOME]})
        taken: list[JobId] = []
        wants = [QueueWant("q", 500)]
        while len(taken) < 2 * SOME:
            claimed = await carrier.claim(wants, worker=WORKER, limit=500, lease_ms=LEASE_MS)
            taken += [one.lease.job_id for one in claimed.deliveries]
            await carrier.settle([Settlement(one.lease, Succeeded()) for one in claimed.deliveries])
            assert claimed.deliveries or claimed.next_in_ms == 0
        assert sorted(taken) == sorted({*ids[-SOME:], *ids[:SOME]})
        while await carrier.clean(JobState.SUCCEEDED, older_than_ms=-1, queue="q"):
            pass
        while (await carrier.tend()).pruned:
            pass
        assert await _walks(carrier) == before
        assert [row.counts for row in await carrier.counts()] == [{JobState.CANCELLED: MANY - 2 * SOME}]
        assert await carrier._session.command("HLEN", f"{carrier._session.prefix}tomb") == 0
