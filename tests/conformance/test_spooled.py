"""A carrier before which a spool stands: a job whose answer was lost is brought again, and is one job all the same."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from msgspec.structs import replace

from headway.errors import BrokerUnavailableError
from headway.job import JobState, Succeeded
from headway.routing.failover.breaker import Breaker, Thresholds
from headway.routing.failover.carrier import SpooledCarrier
from headway.routing.failover.flushing import Flusher
from headway.routing.failover.remembering import Memory
from headway.routing.failover.spool import Spool
from headway.routing.failover.spoolfile import Bounds
from tests.conformance.scene import DAY, RETRYABLE, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from headway.brokers.base import Enqueued, Store
    from headway.job import NewJob


class Cut:
    """A carrier whose enqueues are applied, or not, and are never answered while it is cut."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cut = ""

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        if self.cut != "before":
            answers = await self._store.enqueue(jobs)
            if not self.cut:
                return answers
        msg = "cut"
        raise BrokerUnavailableError(msg)


@asynccontextmanager
async def spooled(scene: Scene, folder: Path) -> AsyncGenerator[tuple[Cut, SpooledCarrier, Flusher]]:
    """Put a spool before the carrier; what is in it comes home when the test says so."""
    clock = scene.clock
    spool = Spool(folder / "spool.db", "shop", Bounds(1000, 10**9), clock)
    await spool.open()
    cut = Cut(cast("Store", scene.carrier))
    carrier = SpooledCarrier(
        "main", cast("Store", cut), Breaker(Thresholds(errors=1000, timeout=30)), spool, clock
    )
    carrier._starter = None  # all goes through what may be cut
    try:
        yield cut, carrier, Flusher(carrier, spool, Memory(DAY, 100_000), clock)
    finally:
        await spool.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_job_whose_answer_was_lost_is_one_job(scene: Scene, tmp_path: Path, when: str) -> None:
    async with spooled(scene, tmp_path) as (cut, carrier, flusher):
        cut.cut = when
        job = scene.job()
        [answer] = await carrier.enqueue([job])
        assert (answer.id, answer.duplicate_of) == (job.id, None)
        cut.cut = ""
        assert await flusher.flush() == 1
        assert await scene.take_ids() == [job.id]
        assert await scene.take_ids() == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_job_that_is_cancelled_in_the_spool_never_runs(
    scene: Scene, tmp_path: Path, when: str
) -> None:
    """It comes home as a cancelled job, whether its carrier has it already or not; its key is held as by any other."""
    async with spooled(scene, tmp_path) as (cut, carrier, flusher):
        cut.cut = when
        job, later = scene.job(key="k"), scene.job()
        await carrier.enqueue([job])
        await carrier.enqueue([later])
        await carrier._spool.cancel([job.id], "why")
        cut.cut = ""
        assert await flusher.flush() == 2
        assert await scene.take_ids() == [later.id]
        [record] = await scene.carrier.get([job.id])
        assert record is not None
        assert (record.state, record.reason) == (JobState.CANCELLED, "why")
        assert (await carrier.cancel([job.id]))[0].state is JobState.CANCELLED


async def test_a_job_that_ran_meanwhile_does_not_run_again(scene: Scene, tmp_path: Path) -> None:
    async with spooled(scene, tmp_path) as (cut, carrier, flusher):
        cut.cut = "after"
        job = scene.job(key="k")
        await carrier.enqueue([job])
        [delivery] = await scene.take()
        await scene.settle(delivery, Succeeded(b"done"))
        cut.cut = ""
        assert await flusher.flush() == 1
        assert await scene.take_ids() == []
        [record] = await scene.carrier.get([job.id])
        assert record is not None
        assert (record.state, record.result, record.epoch) == (
            JobState.SUCCEEDED,
            b"done",
            delivery.lease.epoch,
        )


@pytest.mark.parametrize("state", RETRYABLE)
async def test_nor_one_that_ended_otherwise(scene: Scene, tmp_path: Path, state: JobState) -> None:
    async with spooled(scene, tmp_path) as (cut, carrier, flusher):
        job_id = await scene.reach(state, scene.job())
        cut.cut = "after"
        await carrier.enqueue([replace(scene.job(), id=job_id)])
        cut.cut = ""
        assert await flusher.flush() == 1
        assert await scene.state(job_id) is state
        assert await scene.take_ids() == []


async def test_a_key_that_is_held_when_a_job_comes_home_is_held(scene: Scene, tmp_path: Path) -> None:
    async with spooled(scene, tmp_path) as (cut, carrier, flusher):
        cut.cut = "before"
        late = scene.job(key="k")
        await carrier.enqueue([late])
        holder = await scene.put(scene.job(key="k"))
        cut.cut = ""
        assert await flusher.flush() == 1
        assert await scene.take_ids() == [holder]


@pytest.mark.needs("fifo")
async def test_jobs_come_home_in_their_order(scene: Scene, tmp_path: Path) -> None:
    async with spooled(scene, tmp_path) as (cut, carrier, flusher):
        ids = []
        for number in range(12):
            cut.cut = ("", "before", "after")[number % 3]
            job = scene.job()
            await carrier.enqueue([job])
            ids.append(job.id)
        cut.cut = ""
        await flusher.flush()
        assert await scene.take_ids() == ids
