"""Leases in a file end by the time that passes on the machine, whatever its clock, or that of one process, says."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import BrokerSettings, QueueWant
from headway.brokers.sqlite.broker import SqliteBroker
from headway.brokers.sqlite.file import ticks
from headway.job import JobState, NewJob, WorkerId, new_job_id

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000
LEASE_MS = 30_000
SETTINGS = BrokerSettings("clocks")


class Ahead:
    """A host's clock, ahead or behind by so much."""

    def __init__(self, by_ms: int) -> None:
        self.by_ms = by_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.by_ms


def job() -> NewJob:
    return NewJob(id=new_job_id(), task="t", queue="q", payload=b"")


def broker(folder: Path, ahead_ms: int = 0) -> SqliteBroker:
    return SqliteBroker(f"sqlite:///{folder / 'jobs.db'}", SETTINGS, clock=Ahead(ahead_ms))


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS, 24 * HOUR_MS])
async def test_a_jump_of_the_clock_ends_no_lease(tmp_path: Path, jump_ms: int) -> None:
    clock = Ahead(0)
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    async with SqliteBroker(url, SETTINGS, clock=clock) as carrier, broker(tmp_path, jump_ms) as other:
        wanted = job()
        await carrier.enqueue([wanted])
        worker = WorkerId("w")
        [delivery] = (
            await carrier.claim([QueueWant("q", 1)], worker=worker, limit=1, lease_ms=LEASE_MS)
        ).deliveries
        clock.by_ms = jump_ms
        for one in (carrier, other):
            assert (await one.tend()).reclaimed == 0
            assert (
                await one.claim([QueueWant("q", 1)], worker=WorkerId("x"), limit=1, lease_ms=LEASE_MS)
            ).deliveries == []
        [beat] = await carrier.heartbeat([worker], LEASE_MS)
        assert beat.held
        [record] = await carrier.workers()
        assert record.lease_until_ms is not None
        assert abs(record.lease_until_ms - clock.now_ms() - LEASE_MS) < 10_000
        [found] = await other.get([delivery.lease.job_id])
        assert found is not None
        assert (found.state, found.crashes) == (JobState.RUNNING, 0)


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, 0, HOUR_MS])
async def test_a_dead_workers_lease_ends_by_the_time_that_passed(
    tmp_path: Path, ahead_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with broker(tmp_path) as carrier, broker(tmp_path, ahead_ms) as other:
        await carrier.enqueue([job()])
        await carrier.claim([QueueWant("q", 1)], worker=WorkerId("dead"), limit=1, lease_ms=LEASE_MS)
        now = ticks.machine_ms()
        monkeypatch.setattr(ticks, "machine_ms", lambda: now + LEASE_MS - 5000)
        assert (await other.tend()).reclaimed == 0
        monkeypatch.setattr(ticks, "machine_ms", lambda: now + LEASE_MS + 5000)
        assert (await other.tend()).reclaimed == 1


async def test_what_ran_before_the_machine_was_started_anew_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with broker(tmp_path) as carrier:
        await carrier.enqueue([job()])
        await carrier.claim([QueueWant("q", 1)], worker=WorkerId("dead"), limit=1, lease_ms=LEASE_MS)
        assert (await carrier.tend()).reclaimed == 0
        monkeypatch.setattr("headway.brokers.sqlite.upkeep.boot", lambda: "another")
        assert (await carrier.tend()).reclaimed == 1


async def test_a_lease_of_an_older_version_ends_by_the_clock(tmp_path: Path) -> None:
    async with broker(tmp_path) as carrier:
        await carrier.enqueue([job()])
        await carrier.claim([QueueWant("q", 1)], worker=WorkerId("old"), limit=1, lease_ms=LEASE_MS)
        now = time.time_ns() // 1_000_000
        for until, reclaimed in ((now + LEASE_MS, 0), (now - 1, 1)):
            with sqlite3.connect(tmp_path / "jobs.db") as db:
                db.execute("UPDATE lease SET until_ms = ?, boot = ''", (until,))
            db.close()
            assert (await carrier.tend()).reclaimed == reclaimed


async def test_where_the_start_of_the_machine_has_no_name_the_clock_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticks, "_BOOT", tmp_path / "missing")
    ticks.boot.cache_clear()
    try:
        clock = Ahead(0)
        assert ticks.tick_ms(clock) == pytest.approx(clock.now_ms(), abs=10_000)
    finally:
        ticks.boot.cache_clear()
