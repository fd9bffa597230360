"""Handles: what they answer and which errors they raise, in every state of a job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway import Context, Discard, Headway, JobHandle, JobState, Retry
from headway.brokers.base import Progress
from headway.errors import (
    CodecError,
    HeadwayError,
    JobCancelledError,
    JobExpiredError,
    JobFailedError,
    JobNotFoundError,
    ResultTimeoutError,
)
from headway.job import JobId, new_job_id
from headway.testing import inline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.testing import Inline

app = Headway("handles")


@app.task(name="double")
async def double(n: int) -> int:
    return n * 2


@app.task(name="fail", retry=Retry.never())
async def fail() -> None:
    msg = "the reason"
    raise ValueError(msg)


@app.task(name="discard")
async def discard() -> None:
    reason = "not needed"
    raise Discard(reason)


@app.task(name="tell")
async def tell(ctx: Context) -> None:
    await ctx.progress(0.5, "half")
    ctx.log("line %d", 1)
    ctx.log("line 2", level="warning")


@pytest.fixture
async def box() -> AsyncIterator[Inline]:
    async with inline(app) as box:
        yield box


async def test_a_result(box: Inline) -> None:
    job = await double.enqueue(4)
    assert await job.status() is JobState.READY
    assert await job.result(timeout=5) == 8
    assert await job.wait() is JobState.SUCCEEDED
    assert (await job.record()).attempt == 1


async def test_the_error_of_a_failed_job(box: Inline) -> None:
    job = await fail.enqueue()
    with pytest.raises(JobFailedError, match=f"job {job.id}: ValueError: the reason") as raised:
        await job.result()
    assert raised.value.error_type == "ValueError"
    assert raised.value.job_id == job.id
    assert "raise ValueError" in raised.value.traceback


async def test_a_cancelled_and_a_discarded_job(box: Inline) -> None:
    job = await double.enqueue(1)
    assert await job.cancel("enough") is JobState.CANCELLED
    assert await job.cancel("again") is JobState.CANCELLED
    with pytest.raises(JobCancelledError, match=f"job {job.id}: cancelled: enough"):
        await job.result()
    job = await discard.enqueue()  # type: ignore[assignment]
    with pytest.raises(JobCancelledError, match="discarded: not needed"):
        await job.result()


async def test_an_expired_job(box: Inline) -> None:
    job = await double.options(expires=1).enqueue(1)
    box.clock.advance(2000)
    with pytest.raises(JobExpiredError, match=f"job {job.id}: it expired"):
        await job.result()


async def test_a_job_that_is_not_finished(box: Inline) -> None:
    job = await double.options(delay=60).enqueue(1)
    with pytest.raises(ResultTimeoutError, match=r"still scheduled after 0\.01 s"):
        await job.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        await job.wait(0.01)


async def test_an_unknown_job(box: Inline) -> None:
    job = app.job(new_job_id())
    for call in (job.record, job.status, job.wait, job.result, job.cancel, job.progress):
        with pytest.raises(JobNotFoundError, match=f"job {job.id}: not known here"):
            await call()
    assert await job.logs() == []


async def test_progress_and_logs(box: Inline) -> None:
    job = await tell.enqueue()
    assert await job.progress() is None
    await job.wait()
    assert await job.progress() == Progress(0.5, "half")
    assert [(line.level, line.message) for line in await job.logs()] == [
        ("info", "line 1"),
        ("warning", "line 2"),
    ]


async def test_a_handle_by_its_id_has_the_same_answers(box: Inline) -> None:
    job = await double.enqueue(2)
    assert await app.job(job.id).result() == 4


async def test_a_result_of_another_type_is_a_codec_error(box: Inline) -> None:
    job = await double.enqueue(2)
    handle: JobHandle[str] = JobHandle(app, JobId(job.id), result_type=str)
    with pytest.raises(CodecError, match="does not fit"):
        await handle.result()


async def test_a_duplicate_is_marked(box: Inline) -> None:
    one = await double.options(key="k").enqueue(1)
    two = await double.options(key="k").enqueue(2)
    assert (one.duplicate, two.duplicate, one.id == two.id) == (False, True, True)
    assert "duplicate" in repr(two)
    assert one.id in repr(one)


async def test_a_closed_app_says_so() -> None:
    with pytest.raises(
        HeadwayError, match=r"app 'handles' is not open on this event loop: use `async with app:`"
    ):
        await double.enqueue(1)
    with pytest.raises(HeadwayError, match="not open"):
        await app.job(new_job_id()).status()


async def test_a_task_with_a_context_is_not_called_by_hand() -> None:
    with pytest.raises(TypeError, match=r"takes a Context.*fn\(ctx"):
        await tell()
    assert await double(3) == 6


async def test_opening_twice_needs_closing_twice(box: Inline) -> None:
    async with app:
        await double.enqueue(1)
    assert await (await double.enqueue(1)).result() == 2


async def test_the_first_enqueue_of_a_turn_goes_at_once_and_the_others_together(box: Inline) -> None:
    before = box.faults.calls["enqueue"]
    jobs = await asyncio.gather(*(double.enqueue(n) for n in range(50)))
    assert box.faults.calls["enqueue"] == before + 2
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)
