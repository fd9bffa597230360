"""Waiting for the end of a job, its progress and its log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import LogLine, Progress, Report
from headway.job import Failed, JobState, Lease, Released, RetryAt, Succeeded, WorkerId
from tests.conformance.listening import DEADLINE_S
from tests.conformance.scene import LEASE_MS, SECOND, TERMINAL, Scene

if TYPE_CHECKING:
    from headway.job import JobId, JobRecord
    from tests.conformance.store import Store

LONG_MS = 60_000


async def _wait(scene: Scene, job_id: JobId, timeout_ms: int | None = LONG_MS) -> JobRecord | None:
    async with asyncio.timeout(DEADLINE_S):
        return await scene.carrier.wait_finished(job_id, timeout_ms)


@pytest.mark.parametrize("state", TERMINAL)
async def test_waiting_for_a_complete_job_answers_at_once(scene: Scene, state: JobState) -> None:
    job_id = await scene.reach(state)
    assert await _wait(scene, job_id) == await scene.record(job_id)


async def test_waiting_for_an_unknown_job_answers_none_at_once(scene: Scene) -> None:
    assert await _wait(scene, scene.job().id) is None


@pytest.mark.parametrize("timeout_ms", [0, 50])
@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.READY, JobState.RUNNING])
async def test_when_the_time_is_over_the_job_is_answered_as_it_is(
    scene: Scene, state: JobState, timeout_ms: int
) -> None:
    job_id = await scene.reach(state)
    record = await _wait(scene, job_id, timeout_ms)
    assert record is not None
    assert record.state is state


@pytest.mark.parametrize("timeout_ms", [LONG_MS, None])
async def test_a_waiting_caller_gets_the_result_of_another_process(
    scene: Scene, store: Store, timeout_ms: int | None
) -> None:
    job_id = await scene.put()
    async with store.broker() as other:
        waiter = asyncio.create_task(_wait(scene, job_id, timeout_ms))
        worker = Scene(other, scene.clock)
        await worker.finish(await worker.take_one(), Succeeded(b"the result"))
        record = await waiter
    assert record is not None
    assert (record.state, record.result) == (JobState.SUCCEEDED, b"the result")


async def test_no_result_is_missed_between_the_look_and_the_wait(scene: Scene, store: Store) -> None:
    """Enqueue, settle and wait race in all orders; every wait ends."""
    async with store.broker() as other:
        worker = Scene(other, scene.clock)

        async def run(delivery_of: asyncio.Task[JobRecord | None]) -> None:
            await worker.finish(await worker.take_one(), Succeeded(b"r"))
            record = await delivery_of
            assert record is not None
            assert record.state is JobState.SUCCEEDED

        for turns in range(25):
            job_id = await scene.put()
            waiter = asyncio.create_task(_wait(scene, job_id))
            for _ in range(turns % 5):
                await asyncio.sleep(0)
            await run(waiter)


@pytest.mark.parametrize(
    "way", ["cancel", "expire", "fail", pytest.param("cancel by reclaim", marks=pytest.mark.needs("pull"))]
)
async def test_every_end_of_a_job_ends_the_wait(scene: Scene, store: Store, way: str) -> None:
    job_id = await scene.put(scene.job(expires=10 * SECOND) if way == "expire" else None)
    async with store.broker() as other:
        acting = Scene(other, scene.clock)
        waiter = asyncio.create_task(_wait(scene, job_id))
        await asyncio.sleep(0)
        match way:
            case "cancel":
                await other.cancel([job_id])
            case "expire":
                scene.clock.advance(10 * SECOND)
                await other.tend()
            case "fail":
                await acting.finish(await acting.take_one(), Failed(b"history"))
            case _:
                await acting.take_one()
                await other.cancel([job_id])
                scene.clock.advance(LEASE_MS + 1)
                await other.tend()
        record = await waiter
    assert record is not None
    assert record.state is {"expire": JobState.EXPIRED, "fail": JobState.FAILED}.get(way, JobState.CANCELLED)


async def test_a_retry_does_not_end_the_wait(scene: Scene) -> None:
    job_id = await scene.put()
    waiter = asyncio.create_task(_wait(scene, job_id))
    await scene.finish(await scene.take_one(), RetryAt(scene.now))
    await scene.finish(await scene.take_one(), Released())
    await scene.finish(await scene.take_one(), Succeeded(b"third start"))
    record = await waiter
    assert record is not None
    assert (record.state, record.result) == (JobState.SUCCEEDED, b"third start")


async def test_many_callers_wait_for_one_job(scene: Scene, store: Store) -> None:
    job_id = await scene.put()
    async with store.broker() as other:
        waiters = [
            asyncio.create_task(_wait(Scene((scene.carrier, other)[n % 2], scene.clock), job_id))
            for n in range(50)
        ]
        await asyncio.sleep(0)
        await scene.finish(await scene.take_one(), Succeeded(b"r"))
        records = await asyncio.gather(*waiters)
    assert {record and record.result for record in records} == {b"r"}


async def test_one_caller_waits_for_hundreds_of_jobs(scene: Scene, store: Store) -> None:
    ids = await scene.put_many(300)
    waiters = [asyncio.create_task(_wait(scene, job_id)) for job_id in ids]
    async with store.broker() as other:
        worker = Scene(other, scene.clock)
        while deliveries := await worker.take(50):
            for delivery in deliveries:
                await worker.finish(delivery, Succeeded(delivery.lease.job_id.encode()))
        records = await asyncio.gather(*waiters)
    assert [record and record.result for record in records] == [job_id.encode() for job_id in ids]


async def test_a_caller_that_stops_waiting_leaves_the_others_waiting(scene: Scene) -> None:
    job_id = await scene.put()
    first, second = (asyncio.create_task(_wait(scene, job_id)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await scene.finish(await scene.take_one(), Succeeded(b"r"))
    record = await second
    assert record is not None
    assert record.result == b"r"


async def test_progress_is_recorded_and_replaced(scene: Scene) -> None:
    delivery = await scene.start()
    for fraction, message in ((0.25, "a quarter"), (0.5, "half | ☃\x00")):
        [answer] = await scene.carrier.report([Report(delivery.lease, Progress(fraction, message))])
        assert (answer.job_id, answer.applied) == (delivery.lease.job_id, True)
        record = await scene.record(delivery.lease.job_id)
        assert (record.progress, record.progress_message) == (fraction, message)


@pytest.mark.parametrize("fraction", [0.0, 1.0, 1 / 3])
async def test_progress_keeps_its_number(scene: Scene, fraction: float) -> None:
    delivery = await scene.start()
    await scene.carrier.report([Report(delivery.lease, Progress(fraction))])
    assert (await scene.record(delivery.lease.job_id)).progress == pytest.approx(fraction)


async def test_progress_is_kept_with_the_result(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.carrier.report([Report(delivery.lease, Progress(0.9, "nearly"))])
    await scene.finish(delivery, Succeeded(b"r"))
    record = await scene.record(delivery.lease.job_id)
    assert (record.progress, record.progress_message, record.result) == (0.9, "nearly", b"r")


async def test_log_lines_are_kept_in_their_order(scene: Scene) -> None:
    delivery = await scene.start()
    lines = [LogLine(scene.now + n, "info", f"line {n} | ☃\n\x00") for n in range(10)]
    answers = await scene.carrier.report([Report(delivery.lease, line) for line in lines[:6]])
    answers += await scene.carrier.report([Report(delivery.lease, line) for line in lines[6:]])
    assert all(answer.applied for answer in answers)
    assert await scene.carrier.logs(delivery.lease.job_id) == lines
    await scene.finish(delivery)
    assert await scene.carrier.logs(delivery.lease.job_id) == lines
    assert (await scene.record(delivery.lease.job_id)).logged


async def test_the_last_log_lines_are_kept(store: Store, scene: Scene) -> None:
    """A job that logs without end does not fill the store; its end is what one wants to read."""
    delivery = await scene.start()
    lines = [LogLine(scene.now + n, "info", f"line {n}") for n in range(25)]
    async with store.broker(max_log_lines=10) as limited:
        await limited.report([Report(delivery.lease, line) for line in lines])
        assert await limited.logs(delivery.lease.job_id) == lines[-10:]


async def test_a_job_without_lines_and_an_unknown_job_have_an_empty_log(scene: Scene) -> None:
    assert await scene.carrier.logs(await scene.put()) == []
    assert await scene.carrier.logs(scene.job().id) == []


@pytest.mark.parametrize(
    "content", [Progress(0.9, "stale"), LogLine(1, "info", "stale")], ids=["progress", "log"]
)
@pytest.mark.parametrize("lease", ["older epoch", "another worker", "settled", "unknown"])
async def test_a_report_without_the_lease_is_refused(
    scene: Scene, content: Progress | LogLine, lease: str
) -> None:
    """Promise 3: a progress report or a log line under a stale epoch is refused."""
    await scene.finish(await scene.start(), Released())
    current = await scene.take_one()
    own = current.lease
    stale = {
        "older epoch": Lease(own.job_id, own.worker, 1),
        "another worker": Lease(own.job_id, WorkerId("thief"), own.epoch),
        "settled": own,
        "unknown": Lease(scene.job().id, own.worker, 1),
    }[lease]
    if lease == "settled":
        await scene.finish(current)
    before = await scene.record(own.job_id)
    [answer] = await scene.carrier.report([Report(stale, content)])
    assert (answer.job_id, answer.applied) == (stale.job_id, False)
    assert await scene.record(own.job_id) == before
    assert await scene.carrier.logs(stale.job_id) == []


async def test_reports_of_a_batch_are_applied_each_on_its_own(scene: Scene) -> None:
    await scene.put_many(2)
    a, b = await scene.take()
    answers = await scene.carrier.report(
        [
            Report(a.lease, Progress(0.1)),
            Report(Lease(b.lease.job_id, b.lease.worker, 9), Progress(0.2)),
            Report(b.lease, LogLine(scene.now, "error", "b")),
            Report(a.lease, Progress(0.3)),
        ]
    )
    assert [answer.applied for answer in answers] == [True, False, True, True]
    assert (await scene.record(a.lease.job_id)).progress == pytest.approx(0.3)
    assert (await scene.record(b.lease.job_id)).progress is None
    assert len(await scene.carrier.logs(b.lease.job_id)) == 1
    assert await scene.carrier.report([]) == []


async def test_the_log_goes_with_the_job(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.carrier.report([Report(delivery.lease, LogLine(1, "info", "x"))])
    await scene.finish(delivery)
    await scene.carrier.remove([delivery.lease.job_id])
    assert await scene.carrier.logs(delivery.lease.job_id) == []
