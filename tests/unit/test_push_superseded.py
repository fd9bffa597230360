"""Late outcomes: whatever the answer to them is, the job must still have a task that brings it to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import BrokerSettings, PushRequest
from headway.brokers.cloudtasks.auth.hmac import sign_until
from headway.brokers.cloudtasks.broker import CloudTasksBroker
from headway.brokers.cloudtasks.message import CONTENT_TYPE, encode
from headway.codec import Codec
from headway.config import Settings
from headway.guards.document import PushedJob
from headway.job import Delivery, JobState, NewJob, Released, RetryAt, Succeeded, WorkerId, new_job_id
from headway.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from headway.job import Outcome

SECRET = "of sender and receiver"
LEASE_MS = 5000
CLOCK = FakeClock()


class Scene:
    """A carrier that has nobody to create tasks with: its guard is a file, Cloud Tasks is away."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        push = Settings(guard=f"sqlite:///{folder}/guard.db", target="https://x.example/", push_secret=SECRET)
        self.carrier = CloudTasksBroker(
            "cloudtasks://project/europe-west1?emulator=127.0.0.1:1",
            BrokerSettings("late", options=push),
            clock=clock,
        )
        job = NewJob(new_job_id(), "add", "default", Codec().encode_call("add", [1], {}))
        body = encode("late", PushedJob(job, 0))
        signature = sign_until(SECRET.encode(), body, clock.now_ms() // 1000 + 86_400)
        self.id = job.id
        self.request = PushRequest({"content-type": CONTENT_TYPE, "x-headway-signature": signature}, body)

    async def deliver(self, worker: str) -> Delivery:
        """Send the task; it must be run."""
        received = await self.carrier.receive(self.request, worker=WorkerId(worker), lease_ms=LEASE_MS)
        assert isinstance(received, Delivery)
        return received

    async def state(self) -> JobState:
        (record,) = await self.carrier.get([self.id])
        assert record is not None
        return record.state


@pytest.mark.parametrize("late", [Succeeded(b""), RetryAt(CLOCK.now_ms() + 1000), Released()])
async def test_a_late_outcome_does_not_end_the_task_of_a_job_that_was_released(
    tmp_path: Path, late: Outcome
) -> None:
    """A holds the job, its lease runs out, B takes it over and hands it back: only this one task brings it back."""
    clock = FakeClock()
    scene = Scene(tmp_path, clock)
    async with scene.carrier as carrier:
        first = await scene.deliver("a")
        clock.advance(LEASE_MS + 1)
        second = await scene.deliver("b")
        assert (await carrier.answer(second, Released())).status == 409
        assert (await carrier.answer(first, late)).status == 409
        assert await scene.state() is JobState.READY
        third = await scene.deliver("c")
        assert (await carrier.answer(third, Succeeded(b""))).status == 200
        assert await scene.state() is JobState.SUCCEEDED


async def test_a_late_outcome_does_not_end_the_task_of_a_job_that_runs(tmp_path: Path) -> None:
    clock = FakeClock()
    scene = Scene(tmp_path, clock)
    async with scene.carrier as carrier:
        first = await scene.deliver("a")
        clock.advance(LEASE_MS + 1)
        second = await scene.deliver("b")
        assert (await carrier.answer(first, Succeeded(b""))).status == 409
        assert (await carrier.answer(second, Succeeded(b""))).status == 200
        # By now it is complete: that was seen, and is said.
        answer = await carrier.answer(first, Succeeded(b""))
        assert answer.status == 200
        assert b'"superseded"' in answer.body
