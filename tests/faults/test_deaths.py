"""Who is charged for the death of a process, and who is not: the table of docs/explanation/deaths.md, cell by cell."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from headway.job import JobId, JobRecord, JobState
from tests.faults.deadly import DIE_AT_IMPORT, SLOW_IMPORT, WAYS
from tests.faults.processes import alive, send
from tests.faults.shop import Shop
from tests.faults.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.faults.ledger import Ledger

pytestmark = pytest.mark.timeout(120)

QUICK = {"kill_after": "0.4s"}


@pytest.fixture
async def file_shop(tmp_path: Path, namespace: str, settings: dict[str, str | int]) -> AsyncIterator[Shop]:
    """Open a case that asks nothing of the carrier."""
    async with Shop(f"sqlite:///{tmp_path}/jobs.db", namespace, tmp_path, settings=settings) as made:
        yield made


def record_of(ledger: Ledger, job_id: JobId) -> JobRecord:
    record = ledger.records[job_id]
    assert record is not None
    return record


def spared(ledger: Ledger, ids: list[JobId], charged: int = 0) -> None:
    """Neighbours succeed, charged for at most so many crashes."""
    for job_id in ids:
        record = record_of(ledger, job_id)
        assert (record.state, record.crashes <= charged) == (JobState.SUCCEEDED, True), record


# --- a process that ends by itself ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["kill", "exit 0"])
async def test_a_job_that_ends_the_process_is_put_aside_alone(shop: Shop, way: str) -> None:
    await _put_aside_alone(shop, way)


@pytest.mark.parametrize("way", sorted({*WAYS} - {"kill", "exit 0"}))
async def test_so_it_is_whatever_the_way(file_shop: Shop, way: str) -> None:
    await _put_aside_alone(file_shop, way)


async def _put_aside_alone(shop: Shop, way: str) -> None:
    await shop.group(processes=1, concurrency=20, lease="2s")
    neighbours = await shop.enqueue("waits_long", 1.0, count=4)
    await shop.started(neighbours)
    (killer,) = await shop.enqueue("dies", way, 0.1)
    ledger = await shop.checked(60)
    spared(ledger, neighbours, charged=2)
    killed = record_of(ledger, killer)
    assert (killed.state, killed.crashes) == (JobState.FAILED, 2)
    assert (
        b"ProcessDiedError" in killed.history
    )  # alone in its process: by its policy, which allows one attempt
    assert len(shop.effects([killer], "start")) == 3


@pytest.mark.parametrize("settings", [{"max_crashes": 3}])
async def test_a_job_that_may_be_tried_again_is_capped_all_the_same(file_shop: Shop) -> None:
    await file_shop.group(processes=1, concurrency=10, lease="2s")
    (killer,) = await file_shop.enqueue("poison")
    ledger = await file_shop.checked()
    assert record_of(ledger, killer).state is JobState.FAILED
    assert b"PoisonJob" in record_of(ledger, killer).history
    assert len(file_shop.effects([killer], "start")) == 3


@pytest.mark.parametrize("settings", [{"max_crashes": 1}, {"max_crashes": 2}])
async def test_the_cap_counts_however_small_it_is(file_shop: Shop, settings: dict[str, str | int]) -> None:
    await file_shop.group(processes=1, concurrency=10, lease="2s")
    (killer,) = await file_shop.enqueue("poison")
    await file_shop.checked()
    assert len(file_shop.effects([killer], "start")) == settings["max_crashes"]


async def test_a_job_in_a_process_of_its_own_is_no_suspect(file_shop: Shop) -> None:
    group = await file_shop.group(processes=1, concurrency=10, lease="2s")
    (apart,) = await file_shop.enqueue("in_process", 120.0)
    await file_shop.started([apart])
    (victim,) = group.workers
    send(victim, signal.SIGKILL)
    await until(lambda: len(file_shop.effects([apart], "start")) == 2, "it runs again")
    again = file_shop.effects([apart], "start")[1]
    assert (again["attempt"], again["crashes"]) == (1, 0)
    for pid in group.job_processes():
        send(pid, signal.SIGKILL)
    await file_shop.checked()


# --- a process that we end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [QUICK])
@pytest.mark.parametrize("late", ["thread_late", "blocks_late"])
async def test_the_hard_end_is_a_time_out_by_the_policy_of_the_one_that_was_late(
    shop: Shop, late: str
) -> None:
    await shop.group(processes=1, concurrency=20, lease="2s")
    neighbours = await shop.enqueue("waits_long", 1.5, count=5)
    await shop.started(neighbours)
    (overdue,) = await shop.enqueue(late)
    ledger = await shop.checked()
    spared(ledger, neighbours)
    record = record_of(ledger, overdue)
    assert (record.state, record.attempt, record.crashes) == (JobState.FAILED, 1, 0)
    assert b"JobTimeoutError" in record.history
    assert len(shop.effects([overdue], "start")) == 1


@pytest.mark.parametrize("settings", [QUICK])
async def test_a_late_one_that_holds_the_gil_alone_is_known_all_the_same(file_shop: Shop) -> None:
    await file_shop.group(processes=2, concurrency=1, lease="2s")
    (overdue,) = await file_shop.enqueue("holds_gil_late")
    record = record_of(await file_shop.checked(), overdue)
    assert (record.state, record.attempt, record.crashes) == (JobState.FAILED, 1, 0)
    assert b"JobTimeoutError" in record.history


@pytest.mark.parametrize("settings", [QUICK])
async def test_behind_the_gil_nobody_is_condemned(file_shop: Shop) -> None:
    """Two are late, and the process cannot say which of them keeps the other: both are suspects, then run alone."""
    await file_shop.group(processes=1, concurrency=20, lease="2s")
    (overdue,) = await file_shop.enqueue("holds_gil_late")
    (kept,) = await file_shop.enqueue("waits", 0.2)
    ledger = await file_shop.checked()
    spared(ledger, [kept], charged=2)
    assert record_of(ledger, overdue).state is JobState.FAILED
    assert b"JobTimeoutError" in record_of(ledger, overdue).history


@pytest.mark.parametrize("settings", [QUICK])
async def test_nobody_is_ended_for_what_a_neighbour_keeps_from_ending(file_shop: Shop) -> None:
    group = await file_shop.group(processes=1, concurrency=20, lease="2s")
    workers = group.workers
    (kept,) = await file_shop.enqueue("waits", 60.0)
    await file_shop.started([kept])
    (blocker,) = await file_shop.enqueue("blocks_within", 3.0)
    ledger = await file_shop.checked()
    assert group.workers == workers
    spared(ledger, [blocker])
    record = record_of(ledger, kept)
    assert (record.state, record.attempt, record.crashes) == (JobState.FAILED, 1, 0)  # it did take too long


async def test_a_drain_that_is_cut_charges_nobody(file_shop: Shop) -> None:
    first = await file_shop.group(processes=1, concurrency=10, lease="30s", grace="0.2s")
    ids = await file_shop.enqueue("hold_gil", 8.0)
    await file_shop.started(ids)
    first.terminate()
    await first.wait_ended(20)
    assert first.exit_code == 0
    (record,) = await file_shop.carrier.get(ids)
    assert record is not None
    assert (record.state, record.attempt, record.crashes) == (JobState.READY, 0, 0)


async def test_the_second_signal_charges_nobody(file_shop: Shop) -> None:
    group = await file_shop.group(processes=2, concurrency=10, lease="30s")
    ids = await file_shop.enqueue("hang_once", count=8)
    await file_shop.started(ids)
    group.terminate()
    await until(lambda: "draining" in group.log(), "the first signal is heard")
    group.terminate()
    await group.wait_ended(20)
    for record in await file_shop.carrier.get(ids):
        assert record is not None
        assert (record.state, record.attempt, record.crashes) == (JobState.READY, 0, 0)


async def test_the_end_of_a_terminal_drains(file_shop: Shop) -> None:
    group = await file_shop.group(processes=1, concurrency=10, lease="15s")
    ids = await file_shop.enqueue("slow", 1.0, count=5)
    await file_shop.started(ids)
    group.leaving = True
    send(group.supervisor, signal.SIGHUP)
    await group.wait_ended(20)
    assert group.exit_code == 0
    spared(await file_shop.ledger(), ids)


# --- deaths before there is anything to lose --------------------------------------------------------------------


async def test_a_group_whose_first_process_died_at_import_is_as_good_as_any(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, heartbeats, time limits, hand-back: all of it starts with the one that lives."""
    monkeypatch.setenv(DIE_AT_IMPORT, str(tmp_path / "died"))
    group = await shop.group(processes=2, concurrency=10, lease="2s")
    assert (tmp_path / "died").exists()
    assert len(group.workers) == 2
    long = await shop.enqueue("slow", 5.0, count=4)
    hanging = await shop.enqueue("hang_once")
    await shop.started([*long, *hanging])
    (pid,) = [one["pid"] for one in shop.effects(hanging, "start")]
    send(pid, signal.SIGKILL)
    killed = time.monotonic()
    await shop.started(hanging, crashes=1)
    assert time.monotonic() - killed < 2.0 + 5  # handed back, not left to the lease
    ledger = await shop.checked()
    spared(ledger, [*long, *hanging], charged=1)


async def test_the_end_is_asked_for_during_a_slow_import(file_shop: Shop, tmp_path: Path) -> None:
    starting = tmp_path / "starting"
    with subprocess.Popen(  # noqa: ASYNC220 - it is started in a moment
        [sys.executable, "-c", "from headway.cli import main; main()", "worker", "tests.faults.app:app"],
        env={
            **os.environ,
            "HEADWAY_URL": file_shop.url,
            "FAULTS_NAMESPACE": "slow",
            SLOW_IMPORT: str(starting),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        await until(starting.exists, "the app is being imported", 30)
        process.terminate()
        await until(lambda: process.poll() is not None, "it ends", 10)
        assert process.returncode == 0


# --- what is left behind ----------------------------------------------------------------------------------------


async def test_handlers_end_what_they_start_with_the_usual_signals(file_shop: Shop) -> None:
    await file_shop.group(processes=1, concurrency=10, lease="15s")
    ids = [*await file_shop.enqueue("pools", count=3), *await file_shop.enqueue("terminates", count=3)]
    ledger = await file_shop.checked()
    spared(ledger, ids)


async def test_what_a_dead_worker_had_started_is_ended(file_shop: Shop, tmp_path: Path) -> None:
    group = await file_shop.group(processes=1, concurrency=10, lease="15s")
    told = tmp_path / "child.pid"
    ids = await file_shop.enqueue("leaves_child", str(told))
    child = int(await until(lambda: told.exists() and told.read_text(encoding="ascii"), "a child runs"))
    assert alive(child)
    send(group.workers[0], signal.SIGKILL)
    await until(lambda: not alive(child), "the child is ended", 10)
    spared(await file_shop.checked(), ids, charged=1)


# --- limits, logs ------------------------------------------------------------------------------------------------


async def test_a_memory_limit_below_the_least_leaves_jobs_running(file_shop: Shop) -> None:
    group = await file_shop.group(processes=1, concurrency=10, lease="15s", max_memory_mb="10")
    workers = group.workers
    await file_shop.enqueue("slow", 0.3, count=30)
    await file_shop.checked()
    assert group.workers == workers
    assert group.log().count("max_memory_mb = 10 is too low") == 1


async def test_a_log_that_nobody_reads_keeps_no_worker(
    file_shop: Shop, figure: Callable[[str], None]
) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(  # noqa: ASYNC220 - it is started in a moment
        [
            sys.executable,
            "-c",
            "from headway.cli import main; main()",
            "worker",
            "tests.faults.app:app",
            "--processes",
            "1",
        ],
        env={
            **os.environ,
            "HEADWAY_URL": file_shop.url,
            "FAULTS_NAMESPACE": file_shop.namespace,
            "FAULTS_EFFECTS": str(file_shop.effects_path),
        },
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
    ) as process:
        os.close(writer)
        await asyncio.to_thread(os.read, reader, 10)  # as `| head -c 10` would
        os.close(reader)
        ids = await file_shop.enqueue("slow", 1.0, count=3)
        await file_shop.started(ids)
        process.terminate()
        began = time.monotonic()
        await until(lambda: process.poll() is not None, "it drains", 20)
        figure(f"a drain whose log nobody reads: {time.monotonic() - began:.1f} s")
        assert process.returncode == 0
    spared(await file_shop.ledger(), ids)
