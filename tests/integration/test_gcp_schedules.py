"""The call that `headway gcp apply` gives to Cloud Scheduler, as it comes in at the receiver: one job a fire time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from headway import Headway
from headway.clock import from_ms, to_ms
from headway.gcp import Deployment
from headway.gcp.desired import desired
from headway.gcp.resources import CloudSchedule
from headway.push import receiver
from headway.testing import FakeClock
from tests.servers import EmulatorServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

THREE = datetime(2026, 11, 23, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server


class Scheduled:
    """An app with one schedule, its receiver, and Cloud Scheduler's part of it."""

    def __init__(self, app: Headway, clock: FakeClock) -> None:
        self.app = app
        self.clock = clock
        (self.job,) = (one for one in desired(app, Deployment()) if isinstance(one, CloudSchedule))
        self.receiver = receiver(app, handle_sigterm=False)

    async def call(self, scheduled: datetime | None = None, **changes: Any) -> int:
        """Call as Cloud Scheduler does, for this time of the schedule (else for the present one)."""
        instant = scheduled or from_ms(self.clock.now_ms())
        headers = {
            **self.job.headers,
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": self.job.name,
            "X-CloudScheduler-ScheduleTime": instant.isoformat().replace("+00:00", "Z"),
            **changes,
        }
        transport = httpx.ASGITransport(app=self.receiver)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            return (await client.post("/", content=self.job.body, headers=headers)).status_code

    async def jobs(self) -> int:
        return sum(sum(one.counts.values()) for one in await self.app.carrier.counts())


@pytest.fixture
async def scheduled(emulator: EmulatorServer, namespace: str, tmp_path: Path) -> AsyncIterator[Scheduled]:
    clock = FakeClock(to_ms(THREE + timedelta(seconds=1)))
    app = Headway(
        namespace,
        url=f"cloudtasks://demo/europe-west6?emulator={emulator.address}",
        guard=f"sqlite:///{tmp_path}/guard.db",
        target="http://127.0.0.1:9/",
        push_secret="s3cret",
        clock=clock,
    )

    @app.cron("0 3 * * *", name="nightly")
    @app.task(name="tidy")
    async def tidy() -> None: ...

    async with app:
        yield Scheduled(app, clock)


async def test_the_first_call_of_a_new_schedule_makes_its_job(scheduled: Scheduled) -> None:
    assert await scheduled.call(THREE) == 200
    assert await scheduled.jobs() == 1


async def test_a_fire_time_makes_one_job_however_often_it_is_called(scheduled: Scheduled) -> None:
    await scheduled.call(THREE)
    first = await scheduled.jobs()
    scheduled.clock.advance(timedelta(hours=24))
    tomorrow = THREE + timedelta(days=1)
    for _ in range(3):
        assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == first + 1


async def test_a_run_by_hand_that_carries_the_next_time_does_not_take_its_place(scheduled: Scheduled) -> None:
    await scheduled.call(THREE)
    assert await scheduled.jobs() == 1
    scheduled.clock.advance(timedelta(hours=12))
    tomorrow = THREE + timedelta(days=1)
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 2
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 2, "a repeated call is the same run"
    scheduled.clock.advance(timedelta(hours=12))
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 3


async def test_another_run_by_hand_is_another_job(scheduled: Scheduled) -> None:
    tomorrow = THREE + timedelta(days=1)
    await scheduled.call(tomorrow)
    scheduled.clock.advance(timedelta(minutes=5))
    await scheduled.call(tomorrow)
    assert await scheduled.jobs() == 2


async def test_a_call_that_nobody_signed_is_refused(scheduled: Scheduled) -> None:
    assert await scheduled.call(THREE, **{"X-Headway-Signature": "t=0,v1=00"}) == 401
    assert await scheduled.jobs() == 0
