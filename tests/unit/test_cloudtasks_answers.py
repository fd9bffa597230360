"""Answers when something is lost or wrong: none of them ends the task of a job that has not come to its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import pytest

from headway.brokers.base import PushRequest, PushResponse
from headway.brokers.cloudtasks.message import CONTENT_TYPE
from headway.errors import BrokerUnavailableError, ConfigError
from headway.guards.document import ECHO_MS
from headway.job import Cancelled, Delivery, Failed, JobState, Lease, Released, RetryAt, Succeeded, WorkerId
from tests.unit.cloudtasks_scene import HOUR_MS, LEASE_MS, CloudScene

if TYPE_CHECKING:
    from pathlib import Path

    from headway.job import Outcome

_LOSSES = ("lose", "damage")


@pytest.mark.parametrize("loss", _LOSSES)
@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Succeeded(b""), JobState.SUCCEEDED),
        (Failed(b""), JobState.FAILED),
        (Cancelled(), JobState.CANCELLED),
    ],
)
async def test_an_outcome_is_kept_although_the_store_lost_its_job(
    tmp_path: Path, loss: str, outcome: Outcome, state: JobState
) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        await getattr(scene, loss)(job.id)
        assert (await scene.answer(place, delivery, outcome)).status == 200
        record = await scene.record(job.id)
        assert record is not None
        assert (record.state, record.task) == (state, "t")


@pytest.mark.parametrize("loss", _LOSSES)
async def test_a_retry_goes_on_although_the_store_lost_its_job(tmp_path: Path, loss: str) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        await getattr(scene, loss)(job.id)
        again = RetryAt(scene.clock.now_ms() + 1000)
        assert (await scene.answer(place, delivery, again)).status == 200
        [following] = scene.waiting
        assert following != place
        assert (await scene.deliver(following)).attempt == 2
        assert job.id == delivery.lease.job_id


@pytest.mark.parametrize("loss", _LOSSES)
async def test_a_released_job_comes_back_although_the_store_lost_it(tmp_path: Path, loss: str) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        await getattr(scene, loss)(job.id)
        assert (await scene.answer(place, delivery, Released())).status == 409
        assert (await scene.deliver(place)).attempt == 1


async def test_a_lease_is_kept_although_the_store_lost_it(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        await scene.lose(job.id)
        assert await scene.carrier.extend([delivery.lease], LEASE_MS) == ["held"]
        other = await scene.send(place)
        assert isinstance(other, PushResponse)
        assert other.status == 409


@pytest.mark.parametrize("outcome", [Succeeded(b""), Failed(b""), RetryAt(0), Released()])
async def test_of_what_nobody_knows_no_task_is_ended(tmp_path: Path, outcome: Outcome) -> None:
    """Neither the store nor this process, which was started anew."""
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        await scene.lose(job.id)
        async with scene.another() as other:
            assert (await other.answer(delivery, outcome)).status == 409


async def test_a_holder_that_was_frozen_for_long_restores_nothing(tmp_path: Path) -> None:
    """Somebody else may have ended the job, and its record may have been kept as long as it had to be."""
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        await scene.lose(job.id)
        scene.clock.advance(LEASE_MS + ECHO_MS)
        assert (await scene.answer(place, delivery, Succeeded())).status == 409
        assert scene.waiting == [place]


async def test_of_two_that_run_a_job_after_a_loss_one_completes_it(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        first = await scene.deliver(place)
        await scene.lose(job.id)
        scene.clock.advance(1)
        second = await scene.deliver(place)
        assert first.lease.epoch == second.lease.epoch
        answers = [await scene.answer(place, one, Succeeded()) for one in (second, first)]
        assert [(one.status, b"superseded" in one.body) for one in answers] == [(200, False), (200, True)]
        assert scene.carrier.guard_stats().superseded == 1


async def test_a_job_whose_entry_cannot_be_read_is_put_aside_once(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        await scene.deliver(place)
        await scene.damage(job.id)
        async with scene.another() as other:
            answer = await scene.send(place, carrier=other)
            assert isinstance(answer, PushResponse)
            assert answer.status == 200
        record = await scene.record(job.id)
        assert record is not None
        assert (record.state, record.task) == (JobState.FAILED, "t")
        assert b"damaged" in record.history
        # Its call is whole: people may run it again.
        assert await scene.carrier.retry([job.id]) == [True]
        [place] = scene.waiting
        assert (await scene.run(place, Succeeded())).status == 200


async def test_an_outcome_that_is_told_again_is_not_called_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call failed behind the swap: what it did stands, and the second one does the rest."""
    async with CloudScene(tmp_path) as scene:
        await scene.enqueue(key="order-1")
        [place] = scene.waiting
        delivery = await scene.deliver(place)
        guard = await scene.carrier._keeping.guard("a test")
        with monkeypatch.context() as patch:
            patch.setattr(guard.reservations, "keep_until", _unreachable)
            with pytest.raises(BrokerUnavailableError):
                await scene.carrier.answer(delivery, Succeeded())
        answer = await scene.answer(place, delivery, Succeeded())
        assert (answer.status, b"superseded" in answer.body) == (200, False)
        assert "superseded" not in caplog.text
        assert scene.carrier.guard_stats().superseded == 0


async def _unreachable(*_: object) -> None:
    msg = "the store is away"
    raise BrokerUnavailableError(msg)


async def test_a_late_outcome_is_logged_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        first = await scene.deliver(place)
        scene.clock.advance(LEASE_MS + 1)
        second = await scene.deliver(place)
        await scene.answer(place, second, Succeeded())
        answer = await scene.carrier.answer(first, Succeeded())
        assert answer.status == 200
        assert f"job {job.id}: outcome Succeeded under epoch 1 was superseded" in caplog.text
        assert scene.carrier.guard_stats().superseded == 1


async def test_a_message_of_a_newer_version_waits_and_slows_nobody_down(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        answer = await _receive(scene, _NEWER, executions=1439)
        assert (answer.status, answer.headers["retry-after"]) == (409, "60")
        assert await scene.carrier.counts() == []


async def test_a_message_that_no_version_reads_is_put_aside_in_the_end(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        assert (await _receive(scene, _NEWER, executions=1440)).status == 200
        [counted] = await scene.carrier.counts()
        assert counted.counts == {JobState.FAILED: 1}


@pytest.mark.parametrize("count", ["", "x", "-1", "9" * 5000, "\N{SUPERSCRIPT TWO}"])
async def test_a_count_that_is_none_is_no_count(tmp_path: Path, count: str) -> None:
    async with CloudScene(tmp_path) as scene:
        assert (await _receive(scene, _NEWER, executions=count)).status == 409


_NEWER = msgspec.msgpack.encode([99, {"what": "nobody knows"}])


async def _receive(scene: CloudScene, body: bytes, executions: object) -> PushResponse:
    headers = {
        "content-type": CONTENT_TYPE,
        "x-cloudtasks-taskname": "t",
        "x-cloudtasks-taskexecutioncount": str(executions),
    }
    received = await scene.carrier.receive(
        PushRequest(headers, body), worker=WorkerId("w"), lease_ms=LEASE_MS
    )
    assert isinstance(received, PushResponse)
    return received


async def test_a_receiver_without_a_target_does_not_open(tmp_path: Path) -> None:
    """Its first retry would find out, when it is too late."""
    async with CloudScene(tmp_path) as scene, scene.another(target="") as other:
        with pytest.raises(ConfigError, match="HEADWAY_TARGET"):
            await other.prepare_receiving()


async def test_a_retry_into_a_queue_without_a_target_comes_back_and_slows_nobody_down(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        await scene.enqueue()
        [place] = scene.waiting
        async with scene.another(target="", targets={"other": "https://y.example/"}) as other:
            received = await scene.send(place, carrier=other)
            assert isinstance(received, Delivery)
            assert (await other.answer(received, RetryAt(scene.clock.now_ms() + 1000))).status == 409
        # A receiver that knows one makes the task that is missing.
        answer = await scene.send(place)
        assert isinstance(answer, PushResponse)
        assert answer.status == 200
        assert len(scene.waiting) == 2


@pytest.mark.parametrize(("retries", "hours", "doubtful"), [(0, 25, False), (3, 23, False), (3, 25, True)])
async def test_a_job_that_may_run_for_the_second_time_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, retries: int, hours: int, doubtful: bool
) -> None:
    """Its record is gone after a day, and its task was sent before: whether it has run nobody can tell; it runs."""
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        [place] = scene.waiting
        scene.clock.advance(hours * HOUR_MS)
        with caplog.at_level(logging.WARNING, "headway.push"):
            await scene.deliver(place, {"x-cloudtasks-taskretrycount": str(retries)})
        assert (job.id in caplog.text) is doubtful


async def test_a_renewal_of_what_was_never_held_is_lost(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        job = await scene.enqueue()
        await scene.carrier.prepare_receiving()
        assert await scene.carrier.extend([Lease(job.id, WorkerId("w"), 1)], LEASE_MS) == ["lost"]
