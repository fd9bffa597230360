"""Many jobs at once, keys whose holders are gone, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.cloudtasks.api.calls import PARALLEL
from headway.brokers.cloudtasks.enqueue import MAX_DELAY_MS
from headway.errors import BrokerUnavailableError, PartlyAcceptedError, UnsupportedError
from headway.guards.document import ABANDONED_MS, PushedJob
from headway.job import RetryAt, Succeeded
from tests.unit.cloudtasks_scene import HOUR_MS, ApiError, CloudScene, new_job

if TYPE_CHECKING:
    from pathlib import Path

    from headway.brokers.cloudtasks.api.resources import TaskSpec


async def test_in_an_outage_what_nobody_began_with_is_not_tried(tmp_path: Path) -> None:
    async with CloudScene(tmp_path, patience_s=0) as scene:
        jobs = [new_job() for _ in range(10 * PARALLEL)]
        scene.api.fail("create_task", *[ApiError("UNAVAILABLE")] * len(jobs))
        with pytest.raises(BrokerUnavailableError):
            await scene.carrier.enqueue(jobs)
        assert len(scene.api.calls) <= PARALLEL


async def test_what_was_accepted_before_an_outage_is_named(tmp_path: Path) -> None:
    async with CloudScene(tmp_path, patience_s=0) as scene:
        jobs = [new_job() for _ in range(10 * PARALLEL)]
        create = scene.api.create_task

        async def until_it_breaks(queue_id: str, spec: TaskSpec) -> None:
            await asyncio.sleep(0)
            if len(scene.api.tasks) == 3 * PARALLEL:
                status = "UNAVAILABLE"
                raise ApiError(status)
            await create(queue_id, spec)

        scene.api.create_task = until_it_breaks  # type: ignore[method-assign]
        with pytest.raises(PartlyAcceptedError) as caught:
            await scene.carrier.enqueue(jobs)
        assert len(caught.value.accepted) == 3 * PARALLEL
        made = {task_id for _, task_id in scene.waiting}
        named = {
            scene.carrier._target.task_id(PushedJob(job)) for job in jobs if job.id in caught.value.accepted
        }
        assert named == made


async def test_the_patience_of_a_call_begins_when_it_is_made(tmp_path: Path) -> None:
    """Not while it waits for its turn behind the others of a large batch."""
    async with CloudScene(tmp_path, patience_s=0.3) as scene:
        calls = scene.carrier._api
        calls._slots = asyncio.Semaphore(1)
        gate = asyncio.Event()
        create = scene.api.create_task
        seen: list[str] = []

        async def gated(queue_id: str, spec: TaskSpec) -> None:
            seen.append(spec.id)
            if len(seen) == 1:
                await gate.wait()
            elif len(seen) == 2:  # the first try of the second call
                status = "UNAVAILABLE"
                raise ApiError(status)
            await create(queue_id, spec)

        scene.api.create_task = gated  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        enqueueing = asyncio.create_task(scene.carrier.enqueue([new_job(), new_job()]))
        loop.call_later(0.6, gate.set)
        assert len(await asyncio.wait_for(enqueueing, 20)) == 2


async def test_a_key_without_a_guard_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene, scene.another(guard="") as other:
        with pytest.raises(UnsupportedError, match="HEADWAY_GUARD"):
            await other.enqueue([new_job(), new_job(key="k")])
        assert scene.api.calls == []


async def test_what_was_accepted_is_named_whatever_stopped_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with CloudScene(tmp_path) as scene:
        guard = await scene.carrier._keeping.guard("a test")

        async def refuses(*_: object) -> None:
            msg = "no"
            raise UnsupportedError(msg)

        monkeypatch.setattr(guard.reservations, "reserve", refuses)
        plain = new_job()
        with pytest.raises(PartlyAcceptedError) as caught:
            await scene.carrier.enqueue([plain, new_job(key="k")])
        assert caught.value.accepted == (plain.id,)
        assert isinstance(caught.value.__cause__, UnsupportedError)


@pytest.mark.parametrize("repeated", [True, False])
async def test_a_key_is_let_go_although_its_jobs_end_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, repeated: bool
) -> None:
    """The receiver died between the outcome and the key; the task may have been sent once more."""
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue(key="order-1")
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        guard = await scene.carrier._keeping.guard("a test")
        with monkeypatch.context() as patch:
            patch.setattr(guard.reservations, "keep_until", _dies)
            with pytest.raises(BrokerUnavailableError):
                await scene.carrier.answer(delivery, Succeeded())
        if repeated:
            async with scene.another() as other:
                await scene.send(place, carrier=other)
        scene.api.tasks.clear()
        [answer] = await scene.carrier.enqueue([new_job(key="order-1")])
        assert answer.duplicate_of == job.id
        scene.clock.advance(25 * HOUR_MS)  # its record goes
        await scene.store.prune(now_ms=scene.clock.now_ms())
        calls = len(scene.api.calls)
        [answer] = await scene.carrier.enqueue([new_job(key="order-1")])
        assert answer.duplicate_of is None
        assert len(scene.waiting) == 1
        # With the key let go in time, nobody need find out that its holder is gone.
        assert ("get_task" in scene.api.calls[calls:]) is not repeated


async def _dies(*_: object) -> None:
    msg = "the process is gone"
    raise BrokerUnavailableError(msg)


async def test_the_key_of_a_job_that_waits_is_its_own(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue(key="order-1")
        for _ in range(2):
            [answer] = await scene.carrier.enqueue([new_job(key="order-1")])
            assert answer.duplicate_of == job.id
        assert len(scene.waiting) == 1


async def test_a_delay_of_30_days_leaves_room_for_clocks(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        now = scene.clock.now_ms()
        await scene.enqueue(due_ms=now + MAX_DELAY_MS)
        await scene.enqueue(queue="retried")
        place = next(place for place in scene.waiting if place[0] == "shop-retried")
        await scene.run(place, RetryAt(now + ABANDONED_MS))
        dues = [spec.due_ms for spec in scene.api.tasks.values()]
        assert dues == [now + MAX_DELAY_MS - 60_000] * 2
        with pytest.raises(UnsupportedError, match="30 days"):
            await scene.enqueue(due_ms=now + MAX_DELAY_MS + 1)
