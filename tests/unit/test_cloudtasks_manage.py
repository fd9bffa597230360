"""What is done by hand holds: no task that was left behind makes a job run that was ended, or has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import JobQuery, PushRequest, PushResponse
from headway.errors import BrokerUnavailableError
from headway.guards.document import ECHO_MS
from headway.job import Failed, JobState, RetryAt, Succeeded, WorkerId
from tests.unit.cloudtasks_scene import HOUR_MS, LEASE_MS, ApiError, CloudScene

if TYPE_CHECKING:
    from pathlib import Path

    from headway.job import JobId, NewJob

_FAR_MS = 48 * HOUR_MS  # longer than a succeeded job is kept


async def _waits_for_its_second_turn(
    scene: CloudScene, due_in_ms: int = _FAR_MS, **changes: object
) -> NewJob:
    """A job that was run once and asked to be run again later."""
    job = await scene.enqueue(**changes)
    [place] = scene.waiting
    again = RetryAt(scene.clock.now_ms() + due_in_ms, counted=False)
    assert (await scene.run(place, again)).status == 200
    assert len(scene.waiting) == 1
    return job


async def _act(scene: CloudScene, act: str, job_id: JobId) -> None:
    match act:
        case "cancel":
            [result] = await scene.carrier.cancel([job_id], "no")
            assert result.state is JobState.CANCELLED
        case "remove":
            assert await scene.carrier.remove([job_id]) == [True]
        case _:
            assert await scene.carrier.drain("q") == 1


@pytest.mark.parametrize("act", ["cancel", "remove", "drain"])
async def test_the_task_of_a_later_turn_goes_with_its_job(tmp_path: Path, act: str) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await _waits_for_its_second_turn(scene)
        await _act(scene, act, job.id)
        assert scene.waiting == []


@pytest.mark.parametrize("act", ["cancel", "remove", "drain"])
@pytest.mark.parametrize("delivered", [True, False])
async def test_a_task_that_could_not_be_deleted_finds_its_job_ended_when_it_is_due(
    tmp_path: Path, act: str, *, delivered: bool
) -> None:
    """However far ahead that is."""
    async with CloudScene(tmp_path, patience_s=0) as scene:
        due = scene.clock.now_ms() + _FAR_MS
        job = await (_waits_for_its_second_turn(scene) if delivered else scene.enqueue(due_ms=due))
        scene.api.fail("delete_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerUnavailableError):
            await _act(scene, act, job.id)
        [place] = scene.waiting
        scene.clock.advance(_FAR_MS + ECHO_MS // 2)
        await scene.store.prune(now_ms=scene.clock.now_ms())
        answer = await scene.send(place)
        assert isinstance(answer, PushResponse)
        assert answer.status == 200


@pytest.mark.parametrize("act", ["cancel", "remove"])
@pytest.mark.parametrize("delivered", [True, False])
async def test_a_task_that_could_not_be_deleted_is_deleted_by_the_next_call(
    tmp_path: Path, act: str, *, delivered: bool
) -> None:
    async with CloudScene(tmp_path, patience_s=0) as scene:
        due = scene.clock.now_ms() + _FAR_MS
        job = await (_waits_for_its_second_turn(scene) if delivered else scene.enqueue(due_ms=due))
        scene.api.fail("delete_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerUnavailableError):
            await _act(scene, act, job.id)
        if act == "cancel":
            await _act(scene, act, job.id)
        else:
            assert await scene.carrier.remove([job.id]) == [False]  # it was removed before
        assert scene.waiting == []


async def test_a_cancelled_job_stays_known_while_its_task_waits(tmp_path: Path) -> None:
    """Its record goes after a day; the task that could not be deleted does not bring it back to life in a list."""
    async with CloudScene(tmp_path, patience_s=0) as scene:
        job = await scene.enqueue(due_ms=scene.clock.now_ms() + _FAR_MS)
        scene.api.fail("delete_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerUnavailableError):
            await _act(scene, "cancel", job.id)
        scene.clock.advance(25 * HOUR_MS)
        [cancelled] = await scene.carrier.cancel([job.id], "no")
        assert cancelled.state is None
        assert scene.waiting == []


async def test_a_promoted_job_runs_once(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await _waits_for_its_second_turn(scene)
        [left] = scene.waiting
        assert await scene.carrier.promote([job.id]) == [True]
        [place] = scene.waiting
        assert place != left
        assert (await scene.run(place, Succeeded())).status == 200


async def test_a_promoted_job_whose_old_task_is_still_there_runs_once(tmp_path: Path) -> None:
    async with CloudScene(tmp_path, patience_s=0) as scene:
        job = await _waits_for_its_second_turn(scene)
        [left] = scene.waiting
        scene.api.fail("delete_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerUnavailableError):
            await scene.carrier.promote([job.id])
        [place] = [one for one in scene.waiting if one != left]
        assert (await scene.run(place, Succeeded())).status == 200
        scene.clock.advance(_FAR_MS + ECHO_MS // 2)
        await scene.store.prune(now_ms=scene.clock.now_ms())
        answer = await scene.send(left)
        assert isinstance(answer, PushResponse)
        assert answer.status == 200


async def test_a_promotion_whose_task_could_not_be_made_is_finished_by_the_next_call(tmp_path: Path) -> None:
    async with CloudScene(tmp_path, patience_s=0) as scene:
        job = await _waits_for_its_second_turn(scene)
        scene.api.fail("create_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerUnavailableError):
            await scene.carrier.promote([job.id])
        assert len(scene.waiting) == 1
        await scene.carrier.promote([job.id])
        assert len(scene.waiting) == 2


async def test_a_job_with_a_new_life_remembers_what_was_left(tmp_path: Path) -> None:
    async with CloudScene(tmp_path, patience_s=0) as scene:
        job = await _waits_for_its_second_turn(scene)
        [left] = scene.waiting
        scene.api.fail("delete_task", *[ApiError("UNAVAILABLE")] * 2)
        with pytest.raises(BrokerUnavailableError):
            await _act(scene, "cancel", job.id)
        with pytest.raises(BrokerUnavailableError):
            await scene.carrier.retry([job.id])
        [place] = [one for one in scene.waiting if one != left]
        assert (await scene.run(place, Succeeded())).status == 200
        scene.clock.advance(_FAR_MS)
        await scene.store.prune(now_ms=scene.clock.now_ms())
        answer = await scene.send(left)
        assert isinstance(answer, PushResponse)
        assert answer.status == 200


async def test_the_task_of_a_running_job_is_left_to_it(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        [result] = await scene.carrier.cancel([job.id], "no")
        assert result.state is JobState.RUNNING
        assert await scene.carrier.remove([job.id]) == [False]
        assert scene.waiting == [place]
        assert (await scene.answer(place, delivery, Succeeded())).status == 200


async def test_a_body_that_could_not_be_read_has_no_new_life(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        request = PushRequest({"x-cloudtasks-taskname": "a"}, b"rubbish")
        await scene.carrier.receive(request, worker=WorkerId("w"), lease_ms=LEASE_MS)
        [counted] = await scene.carrier.counts()
        assert counted.counts == {JobState.FAILED: 1}
        [dead] = (await scene.carrier.list(JobQuery())).jobs
        assert await scene.carrier.retry([dead.id]) == [False]
        assert scene.api.tasks == {}
        assert dead.state is JobState.FAILED
        assert await scene.carrier.remove([dead.id]) == [True]


async def test_a_failed_job_has_a_new_life(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        await scene.run(place, Failed())
        assert await scene.carrier.retry([job.id]) == [True]
        [place] = scene.waiting
        assert (await scene.run(place, Succeeded())).status == 200
