"""Processes that die: of one worker, of a whole group, of the supervisor, of one job."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest

from headway.events import EventKind
from headway.job import JobState
from tests.faults.processes import alive, born, send
from tests.faults.shop import now_ms
from tests.faults.until import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.ledger import Ledger
    from tests.faults.shop import Shop

pytestmark = pytest.mark.timeout(120)


def _handed_back_ms(ledger: Ledger) -> int:
    return max(
        event.at_ms
        for events in ledger.events.values()
        for event in events
        if event.kind in {EventKind.RELEASED, EventKind.RECLAIMED}
    )


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_jobs_of_a_killed_worker_come_back_at_once(
    shop: Shop, figure: Callable[[str], None], processes: int
) -> None:
    group = await shop.group(processes=processes, concurrency=100, lease="15s")
    ids = await shop.enqueue("hang_once", count=100)
    await shop.started(ids)
    held = {pid: sum(one["pid"] == pid for one in shop.effects(what="start")) for pid in group.workers}
    victim = max(held, key=lambda pid: held[pid])
    killed_ms = now_ms()
    send(victim, signal.SIGKILL)
    dead = [one["job"] for one in shop.effects(what="start") if one["pid"] == victim]
    await shop.started(dead, crashes=1)
    again_ms = max(one["at_ms"] for one in shop.effects(dead, "start"))
    ledger = await shop.ledger()
    back = (_handed_back_ms(ledger) - killed_ms) / 1000
    again = (again_ms - killed_ms) / 1000
    figure(
        f"{len(dead)} jobs of a killed worker: handed back after {back:.2f} s, running again after {again:.2f} s"
    )
    assert back < 5  # the promise is 1 s; a busy machine that runs the tests gets more
    for pid in group.workers:  # those of the other process, in its place
        if pid == next((one for one in held if one != victim), None):
            send(pid, signal.SIGKILL)
    ledger = await shop.checked()
    assert all(
        record is not None and record.state is JobState.SUCCEEDED for record in ledger.records.values()
    )


async def test_a_process_that_a_dead_worker_forked_keeps_nothing_from_coming_back(
    shop: Shop, figure: Callable[[str], None]
) -> None:
    """It holds all that the worker held open, the line to the supervisor among it."""
    await shop.group(processes=1, concurrency=10, lease="30s")
    ids = await shop.enqueue("fork_once")
    await shop.started(ids)
    (orphan,) = await until(lambda: [one["pid"] for one in shop.effects(what="forked")], "it has forked")
    birth = born(orphan)
    try:
        (victim,) = [one["pid"] for one in shop.effects(ids, "start")]
        killed = time.monotonic()
        send(victim, signal.SIGKILL)
        await shop.started(ids, crashes=1)
        took = time.monotonic() - killed
        figure(f"a job whose worker left a forked process behind: running again after {took:.2f} s")
        assert took < 15  # far from the lease
        assert alive(orphan)
    finally:
        if born(orphan) == birth:
            send(orphan, signal.SIGKILL)
    await shop.checked()


@pytest.mark.parametrize("lease", ["2s", pytest.param("15s", marks=pytest.mark.slow)])
async def test_the_jobs_of_a_killed_group_come_back_after_the_lease(
    shop: Shop, figure: Callable[[str], None], lease: str
) -> None:
    first = await shop.group(processes=2, concurrency=50, lease=lease)
    ids = await shop.enqueue("hang_once", count=100)
    await shop.started(ids)
    await shop.group(processes=1, concurrency=100, lease=lease)
    killed_ms = now_ms()
    first.kill_all()
    await shop.started(ids, crashes=1, within=40)
    took = (max(one["at_ms"] for one in shop.effects(ids, "start")) - killed_ms) / 1000
    figure(f"100 jobs of a killed group, lease {lease}: running elsewhere after {took:.2f} s")
    assert took < float(lease[:-1]) + 5  # the promise is lease + 1 s
    ledger = await shop.checked()
    assert ledger.count(EventKind.RECLAIMED) == 100


async def test_an_idle_group_takes_over_though_nobody_woke_it(
    shop: Shop, figure: Callable[[str], None]
) -> None:
    """The idle one has claimed in vain before there was any lease, and one job wakes one worker only."""
    groups = [await shop.group(lease="2s"), await shop.group(lease="2s")]
    # Both have done the round of maintenance with which a worker begins (within 5 s), after which idle ones rest long.
    await asyncio.sleep(6)
    ids = await shop.enqueue("hang_once")
    await shop.started(ids)
    (pid,) = [one["pid"] for one in shop.effects(what="start")]
    holder = next(group for group in groups if pid in group.workers)
    killed_ms = now_ms()
    holder.kill_all()
    await shop.started(ids, crashes=1)
    took = (max(one["at_ms"] for one in shop.effects(ids, "start")) - killed_ms) / 1000
    figure(f"an idle group took over after {took:.2f} s at a lease of 2 s")
    assert took < 2 + 5
    await shop.checked()


async def test_a_killed_supervisor_takes_its_workers_with_it(shop: Shop) -> None:
    first = await shop.group(processes=2, concurrency=10, lease="2s")
    ids = await shop.enqueue("hang_once", count=20)
    await shop.started(ids)
    workers = first.workers
    other = await shop.group(processes=1, concurrency=20, lease="2s")
    first.kill_supervisor()
    await until(lambda: not any(map(alive, workers)), "the orphaned workers end", 15)
    await until(lambda: first.ended, "the supervisor has ended")
    await shop.started(ids, within=20)

    def elsewhere() -> bool:
        last = {one["job"]: one["pid"] for one in shop.effects(ids, "start")}
        return set(last.values()) <= set(other.workers)

    await until(elsewhere, "all jobs run in the other group", 20)
    # Handed back without a crash, they hang there as well; that one's death is what lets them end.
    for pid in other.workers:
        send(pid, signal.SIGKILL)
    await shop.checked()


@pytest.mark.parametrize("settings", [{"max_crashes": 3}])
async def test_a_job_that_kills_its_workers_is_put_aside(shop: Shop) -> None:
    await shop.group(processes=1, concurrency=10, lease="2s")
    (bad,) = await shop.enqueue("poison")
    good = await shop.enqueue("slow", 0.2, count=20)
    ledger = await shop.checked(60)
    record = ledger.records[bad]
    assert record is not None
    assert (record.state, record.crashes) == (
        JobState.FAILED,
        2,
    )  # the third time it had its process to itself
    assert b"PoisonJob" in record.history
    for job_id in good:
        other = ledger.records[job_id]
        assert other is not None
        assert other.state is JobState.SUCCEEDED


@pytest.mark.parametrize("settings", [{"kill_after": "0.5s"}])
async def test_a_job_past_its_time_is_ended_hard_and_the_others_are_not_charged(shop: Shop) -> None:
    await shop.group(processes=1, concurrency=10, lease="2s")
    held = await shop.enqueue("gate", str(shop.folder / "open"), count=5)
    await shop.started(held)
    (overdue,) = await shop.enqueue("overdue", 120.0)
    await shop.finished([overdue], within=40)
    (shop.folder / "open").touch()
    ledger = await shop.checked()
    record = ledger.records[overdue]
    assert record is not None
    assert (record.state, record.attempt, record.crashes) == (JobState.FAILED, 2, 0)
    assert b"JobTimeoutError" in record.history
    for job_id in held:
        other = ledger.records[job_id]
        assert other is not None
        assert (other.state, other.crashes, other.attempt) == (JobState.SUCCEEDED, 0, 1)
        assert other.epoch >= 2


async def test_a_killed_job_process_costs_its_own_job_an_attempt_only(shop: Shop) -> None:
    group = await shop.group(processes=1, concurrency=4, lease="2s")
    (job,) = await shop.enqueue("in_process", 120.0)
    others = await shop.enqueue("slow", 1.0, count=3)
    await shop.started([job, *others])
    (pid,) = [one["pid"] for one in shop.effects([job], "start")]
    assert pid in group.job_processes()
    send(pid, signal.SIGKILL)
    ledger = await shop.checked()
    assert [ledger.records[one].epoch for one in others] == [1, 1, 1]  # type: ignore[union-attr]  # checked
    record = ledger.records[job]
    assert record is not None
    assert (record.state, record.attempt, record.crashes) == (JobState.SUCCEEDED, 2, 0)
    assert b"ProcessDiedError" in record.history


@pytest.mark.parametrize("settings", [{"kill_after": "0.3s"}])
async def test_a_job_process_that_ignores_its_time_limit_is_killed(shop: Shop) -> None:
    group = await shop.group(processes=1, concurrency=4, lease="2s")
    workers = group.workers
    (job,) = await shop.enqueue("stubborn_in_process")
    others = await shop.enqueue("slow", 1.5, count=3)
    ledger = await shop.checked()
    assert group.workers == workers  # only the job's own process was ended
    assert [ledger.records[one].epoch for one in others] == [1, 1, 1]  # type: ignore[union-attr]  # checked
    record = ledger.records[job]
    assert record is not None
    assert (record.state, record.attempt, record.crashes) == (JobState.SUCCEEDED, 2, 0)
    assert b"JobTimeoutError" in record.history


async def test_a_job_longer_than_three_leases_keeps_its_lease(shop: Shop) -> None:
    """A handler longer than three leases keeps its lease; the epoch says that nobody took it over."""
    await shop.group(lease="1s")
    await shop.group(lease="1s")
    began = time.monotonic()
    await shop.enqueue("slow", 3.0, count=10)
    ledger = await shop.checked()
    assert time.monotonic() - began >= 3
    assert {record.epoch for record in ledger.records.values() if record is not None} == {1}
