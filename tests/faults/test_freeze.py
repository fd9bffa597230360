"""Processes that freeze (SIGSTOP) and thaw, and handlers that block their process: who holds the lease?"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from headway.events import EventKind
from headway.job import JobState
from tests.faults.processes import send
from tests.faults.until import until

if TYPE_CHECKING:
    from tests.faults.shop import Shop

pytestmark = pytest.mark.timeout(120)
LEASE = 1.0


@pytest.mark.parametrize("whole_group", [False, True], ids=["worker", "group"])
async def test_a_frozen_workers_late_completion_is_superseded(shop: Shop, whole_group: bool) -> None:
    """Frozen past the lease, its jobs are taken over; thawed, it completes them: refused, and recorded as that."""
    first = await shop.group(processes=1, concurrency=10, lease="1s")
    ids = await shop.enqueue("in_thread", 0.5, count=10)
    await shop.started(ids)
    frozen = first.workers
    if whole_group:
        first.stop_all()
    else:
        send(frozen[0], signal.SIGSTOP)
    other = await shop.group(processes=1, concurrency=10, lease="1s")
    await shop.finished(within=20)
    runs = shop.effects(ids, "end")
    assert {one["pid"] for one in runs} == set(other.workers)
    if whole_group:
        first.continue_all()
    else:
        send(frozen[0], signal.SIGCONT)
    ledger = await shop.seen(EventKind.SUPERSEDED, ids)
    ledger.check()
    assert {record.epoch for record in ledger.records.values() if record is not None} == {2}
    # It works on, under a lease of its own.
    other.kill_all()
    await shop.enqueue("quick", count=50)
    await shop.checked()
    assert {one["pid"] for one in shop.effects(shop.accepted[10:], "end")} == set(first.workers)


async def test_a_lost_lease_cancels_the_coroutine_of_its_job(shop: Shop) -> None:
    """Promise 4: nobody goes on with what is somebody else's by now."""
    first = await shop.group(processes=1, concurrency=10, lease="1s")
    ids = await shop.enqueue("told_when_lost", count=5)
    await shop.started(ids)
    (frozen,) = first.workers
    first.stop_all()
    other = await shop.group(processes=1, concurrency=10, lease="1s")
    await shop.finished(within=20)
    first.continue_all()
    await until(lambda: len(shop.effects(ids, "cancelled")) == 5, "the coroutines are cancelled", 20)
    assert {one["pid"] for one in shop.effects(ids, "cancelled")} == {frozen}
    assert {one["pid"] for one in shop.effects(ids, "end")} == set(other.workers)
    await shop.checked()


@pytest.mark.parametrize("task", ["block", "hold_gil"])
async def test_a_handler_that_blocks_its_process_keeps_its_lease(shop: Shop, task: str) -> None:
    """For three leases neither the loop nor any thread runs; a second group idles beside it and gets nothing."""
    await shop.group(processes=1, concurrency=5, lease="1s", queues="default")
    blocking = await shop.enqueue(task, 3 * LEASE + 0.2)
    await shop.started(blocking)
    idle = await shop.group(processes=1, concurrency=5, lease="1s")
    ledger = await shop.checked()
    for record in ledger.records.values():
        assert record is not None
        assert (record.state, record.epoch, record.attempt) == (JobState.SUCCEEDED, 1, 1)
    assert not {one["pid"] for one in shop.effects(blocking)} & set(idle.workers)
    assert not ledger.count(EventKind.SUPERSEDED)


async def test_jobs_beside_a_blocking_one_are_not_lost(shop: Shop) -> None:
    """Those held by the blocked process wait there for it, or go back; none is lost and none runs on two sides."""
    # Blocked for more than two leases; a lease of 2 s, because a busy machine may stop the supervisor itself for one.
    await shop.group(processes=2, concurrency=5, lease="2s")
    await shop.enqueue("block", 5.0)
    await shop.enqueue("hold_gil", 4.0)
    await shop.enqueue("slow", 0.1, count=30)
    await shop.enqueue("in_thread", 0.1, count=10)
    ledger = await shop.checked()
    assert {record.state for record in ledger.records.values() if record is not None} == {JobState.SUCCEEDED}
    assert not ledger.count(EventKind.SUPERSEDED)
    assert not ledger.count(EventKind.RECLAIMED)


async def test_a_wake_up_swallowed_by_a_frozen_worker_costs_a_moment_only(shop: Shop) -> None:
    """The carrier may wake the frozen one, which is still connected: the other looks a second later."""
    groups = [await shop.group(lease="15s"), await shop.group(lease="15s")]
    (frozen,) = groups[0].workers
    send(frozen, signal.SIGSTOP)
    await shop.enqueue("quick", count=50)
    await shop.checked(10)
    assert {one["pid"] for one in shop.effects(what="end")} == set(groups[1].workers)
