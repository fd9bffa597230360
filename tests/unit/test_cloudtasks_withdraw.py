"""Moving jobs from and to Cloud Tasks: whoever dies in the middle, none is lost and none runs twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from headway.brokers.base import PushResponse
from headway.errors import BrokerError, BrokerUnavailableError
from headway.job import JobState, Past, RetryAt, Succeeded
from tests.unit.cloudtasks_scene import HOUR_MS, ApiError, CloudScene, new_job

if TYPE_CHECKING:
    from pathlib import Path

REASON = "moved by move 1"


@pytest.mark.parametrize("delivered", [False, True])
async def test_a_task_that_could_not_be_deleted_runs_nothing(tmp_path: Path, *, delivered: bool) -> None:
    """The mover died behind the guard: the task comes, and finds the job complete."""
    async with CloudScene(tmp_path, patience_s=0) as scene:
        job = await scene.enqueue(key="k")
        if delivered:
            delivery = await scene.deliver(scene.waiting[0])
            await scene.answer(scene.waiting[0], delivery, RetryAt(scene.clock.now_ms() + 1, b"h"))
            scene.clock.advance(1)
        scene.api.fail("delete_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerError):
            await scene.carrier.withdraw([job.id], REASON)
        [place] = scene.waiting
        response = await scene.send(place)
        assert isinstance(response, PushResponse)
        assert response.status == 200
        [record] = await scene.carrier.withdraw([job.id], REASON)
        assert record is not None
        assert (record.id, record.key, record.attempt) == (job.id, "k", int(delivered))
        assert scene.waiting == []
        assert await scene.carrier.find_held([new_job(key="k")]) == [job.id]  # it may be nowhere else yet
        await scene.carrier.remove([job.id])
        assert await scene.carrier.find_held([new_job(key="k")]) == [None]


async def test_a_job_comes_back_under_a_name_that_was_not_used(tmp_path: Path) -> None:
    """The name of a task is not to be had again for a day, also when the guard has forgotten the job."""
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        for _ in range(4):
            [record] = await scene.carrier.withdraw([job.id], REASON)
            assert record is not None
            assert scene.waiting == []
            await scene.carrier.remove([job.id])
            scene.clock.advance(2 * HOUR_MS)
            guard = await scene.carrier._keeping.guard("a test")
            await guard.desk.prune()
            elsewhere = replace(record, epoch=record.epoch + 1)  # as the carrier that it went to had it
            await scene.carrier.enqueue([elsewhere.as_new()])
            assert len(scene.waiting) == 1
        delivery = await scene.deliver(scene.waiting[0])
        assert (delivery.lease.job_id, delivery.attempt) == (job.id, 1)
        await scene.answer(scene.waiting[0], delivery, Succeeded())
        ended = await scene.record(job.id)
        assert ended is not None
        assert ended.state is JobState.SUCCEEDED


async def test_turns_count_as_epochs_for_a_job_that_leaves(tmp_path: Path) -> None:
    """Acts by hand make turns without a run: a job must not come back under the name of one of them."""
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        for _ in range(3):
            await scene.carrier.cancel([job.id])
            await scene.carrier.retry([job.id])
        [record] = await scene.carrier.withdraw([job.id], REASON)
        assert record is not None
        await scene.carrier.enqueue([record.as_new()])
        assert len(scene.waiting) == 1
        assert (await scene.deliver(scene.waiting[0])).lease.job_id == job.id


async def test_a_job_whose_task_could_not_be_made_is_taken_in_by_the_repeat(tmp_path: Path) -> None:
    async with CloudScene(tmp_path, patience_s=0) as scene:
        job = replace(new_job(key="k"), past=Past(2, 1, b"history", 5))
        scene.api.fail("create_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerUnavailableError):
            await scene.carrier.enqueue([job])
        for _ in range(2):
            [answer] = await scene.carrier.enqueue([job])
            assert answer.duplicate_of is None
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        assert (delivery.attempt, delivery.crashes, delivery.history) == (3, 1, b"history")
        assert delivery.lease.epoch == 6


async def test_a_promoted_job_that_was_not_delivered_yet_is_ready_elsewhere(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue(due_ms=scene.clock.now_ms() + HOUR_MS)
        [scheduled] = await scene.carrier.withdraw([job.id], REASON)
        assert scheduled is not None
        assert (scheduled.state, scheduled.due_ms) == (JobState.SCHEDULED, job.due_ms)
        assert scheduled.as_new().due_ms == job.due_ms
