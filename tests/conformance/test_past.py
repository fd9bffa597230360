"""Jobs that bring along what they went through elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from headway.job import JobState, Past, Succeeded
from tests.conformance.scene import MINUTE

if TYPE_CHECKING:
    from tests.conformance.scene import Scene


async def test_a_plain_job_may_bring_a_past_along(scene: Scene) -> None:
    """As one that another system has tried before."""
    job = replace(scene.job(key="k"), past=Past(3, 1, b"theirs", 7))
    later = replace(scene.job(due=MINUTE), past=Past(attempt=1))
    await scene.put(job)
    await scene.put(later)
    record = await scene.record(job.id)
    assert (record.state, record.attempt, record.crashes, record.history) == (JobState.READY, 3, 1, b"theirs")
    delivery = await scene.take_one()
    assert (delivery.lease.job_id, delivery.attempt, delivery.crashes) == (job.id, 4, 1)
    assert (delivery.history, delivery.payload) == (b"theirs", job.payload)
    assert delivery.lease.epoch > 7
    assert (await scene.offer(scene.job(key="k"))).duplicate_of == job.id
    await scene.finish(delivery, Succeeded())
    scene.clock.advance(MINUTE)
    delivery = await scene.take_one()
    assert (delivery.lease.job_id, delivery.attempt) == (later.id, 2)


async def test_jobs_with_and_without_a_past_keep_their_order(scene: Scene) -> None:
    jobs = [scene.job() for _ in range(6)]
    mixed = [replace(job, past=Past(1)) if number % 2 else job for number, job in enumerate(jobs)]
    await scene.carrier.enqueue(mixed)
    deliveries = [await scene.take_one() for _ in mixed]
    taken = [delivery.lease.job_id for delivery in deliveries]
    assert scene.ordered(taken) == scene.ordered([job.id for job in jobs])
    attempts = {delivery.lease.job_id: delivery.attempt for delivery in deliveries}
    assert [attempts[job.id] for job in jobs] == [1, 2] * 3
