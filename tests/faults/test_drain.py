"""Ends that are asked for: SIGTERM under load, a second signal, recycling."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from headway.brokers.url import pulled
from headway.events import EventKind
from headway.job import JobState
from tests.faults.processes import send
from tests.faults.until import until, until_told

if TYPE_CHECKING:
    from headway.brokers.base import Carrier
    from headway.job import JobId, JobRecord, WorkerId
    from tests.faults.shop import Shop

pytestmark = pytest.mark.timeout(120)


async def test_a_drain_finishes_what_runs_and_hands_back_the_rest(shop: Shop) -> None:
    group = await shop.group(processes=1, concurrency=10, lease="15s", grace="1s")
    short = await shop.enqueue("slow", 0.4, count=5)
    await shop.started(short)
    long = await shop.enqueue("hang_once", count=5)
    await shop.started(long)
    waiting = await shop.enqueue("quick", count=200)
    group.terminate()
    await group.wait_ended(20)
    assert group.exit_code == 0
    assert set(await shop.states(short)) == {JobState.SUCCEEDED}
    for record in await shop.carrier.get(long):
        assert record is not None
        assert (record.state, record.attempt, record.crashes) == (JobState.READY, 0, 0)
    before = {one.id: one for one in await shop.carrier.get(waiting) if one is not None}
    assert {one.state for one in before.values()} <= {JobState.READY, JobState.SUCCEEDED}
    # The long ones hang until their worker has died once.
    second = await shop.group(processes=1, concurrency=10, lease="15s")
    await shop.started(long)
    await until(lambda: len(shop.effects(long, "start")) == 10, "the long ones run again")
    for pid in second.workers:
        send(pid, signal.SIGKILL)
    ledger = await shop.checked()
    for job_id in long:
        record = ledger.records[job_id]
        assert record is not None
        assert (record.attempt, record.crashes) == (2, 1)


async def test_a_drain_under_load_loses_nothing(shop: Shop) -> None:
    first = await shop.group(processes=2, concurrency=20, lease="2s", grace="5s")
    ids = await shop.enqueue("slow", 0.05, count=400)
    await until(lambda: len(shop.effects(ids, "end")) > 50, "work is under way")
    first.terminate()
    await first.wait_ended(20)
    assert first.exit_code == 0
    states = await shop.states(ids)
    assert JobState.RUNNING not in states
    await shop.group(processes=1, concurrency=50, lease="2s")
    ledger = await shop.checked()
    assert {record.attempt for record in ledger.records.values() if record is not None} == {1}
    assert not ledger.count(EventKind.SUPERSEDED)


async def test_the_second_signal_ends_it_at_once_and_hands_back(shop: Shop) -> None:
    group = await shop.group(processes=2, concurrency=10, lease="15s", grace="60s")
    ids = await shop.enqueue("hang_once", count=10)
    await shop.started(ids)
    group.terminate()
    await until(lambda: "draining" in group.log(), "it heard the first signal")
    group.terminate()
    await group.wait_ended(10)
    for record in await shop.carrier.get(ids):
        assert record is not None
        assert (record.state, record.attempt, record.crashes) == (JobState.READY, 0, 0)
    second = await shop.group(processes=1, concurrency=10, lease="15s")
    await until(lambda: len(shop.effects(ids, "start")) == 20, "they run again")
    for pid in second.workers:
        send(pid, signal.SIGKILL)
    await shop.checked()


async def test_a_worker_that_is_drained_from_outside_ends_in_order_and_is_replaced(shop: Shop) -> None:
    """Whoever asks has nothing but the carrier; a job that goes on past the grace time goes back uncharged."""
    group = await shop.group(processes=2, concurrency=10, lease="2s", grace="1s")
    first = group.workers
    carrier = pulled(shop.carrier)
    short = await shop.enqueue("slow", 0.4, count=10)
    [long] = await shop.enqueue("hang_once")
    await shop.started([long])
    record = await _record(shop, long)
    assert record.worker is not None
    assert await carrier.drain_worker(record.worker)
    [drained] = [pid for pid in first if f"-{pid}-" in record.worker]

    def replaced() -> bool:
        now = group.workers
        return drained not in now and len(now) == 2 and len(set(first) & set(now)) == 1

    await until(replaced, "another process in its place, and none for the other")
    await until(lambda: len(shop.effects([long], "start")) == 2, "the long one runs again")
    again = await _record(shop, long)
    assert (again.attempt, again.crashes) == (1, 0)
    assert again.worker not in {None, record.worker}
    await until_told(lambda: _is_gone(carrier, record.worker), "the drained one is listed no more")
    assert "ended by" not in group.log(), "its supervisor takes it for a crash"
    assert f"worker process {drained} drains: somebody asked for it" in group.log()
    for pid in group.workers:  # it hangs until its worker has died once
        if f"-{pid}-" in (again.worker or ""):
            send(pid, signal.SIGKILL)
    ledger = await shop.checked()
    assert {one.attempt for one in map(ledger.records.get, short) if one is not None} == {1}
    assert not ledger.count(EventKind.SUPERSEDED)


async def _record(shop: Shop, job_id: JobId) -> JobRecord:
    [record] = await shop.carrier.get([job_id])
    assert record is not None
    return record


async def _is_gone(carrier: Carrier, worker: WorkerId | None) -> bool:
    return all(one.id != worker for one in await carrier.workers())


@pytest.mark.parametrize("settings", [{"max_jobs": 50}])
async def test_recycling_under_load_loses_nothing_and_no_attempt(shop: Shop) -> None:
    group = await shop.group(processes=2, concurrency=5, lease="2s")
    first = group.workers
    ids = await shop.enqueue("slow", 0.02, count=400)
    await until(lambda: not set(first) & set(group.workers), "both processes are replaced", 30)
    ledger = await shop.checked()
    assert len({one["pid"] for one in shop.effects(ids, "end")}) > 2
    assert {record.attempt for record in ledger.records.values() if record is not None} == {1}
    assert not ledger.count(EventKind.RECLAIMED)
    assert not ledger.count(EventKind.SUPERSEDED)
