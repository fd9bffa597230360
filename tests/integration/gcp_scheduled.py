"""An app with one schedule, and the calls of Cloud Scheduler that `headway gcp apply` gives it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from headway import CatchUp, Headway
from headway.clock import from_ms
from headway.gcp import Deployment
from headway.gcp.desired import desired
from headway.gcp.resources import CloudSchedule
from headway.push import receiver

if TYPE_CHECKING:
    from pathlib import Path

    from headway.testing import FakeClock
    from tests.servers import EmulatorServer

THREE = datetime(2026, 11, 23, 3, tzinfo=UTC)


class Scheduled:
    """An app with one schedule, its receiver, and Cloud Scheduler's part of it."""

    def __init__(self, app: Headway, clock: FakeClock) -> None:
        self.app = app
        self.clock = clock
        (self.job,) = (one for one in desired(app, Deployment()) if isinstance(one, CloudSchedule))
        self.receiver = receiver(app, handle_sigterm=False)

    async def call(self, scheduled: datetime | None = None, **changes: Any) -> int:
        """Call as Cloud Scheduler does, for this time of the schedule (else for the present one)."""
        instant = scheduled or self.now
        headers = {
            **self.job.headers,
            "User-Agent": "Google-Cloud-Scheduler",
            "X-CloudScheduler": "true",
            "X-CloudScheduler-JobName": self.job.name,
            "X-CloudScheduler-ScheduleTime": instant.isoformat().replace("+00:00", "Z"),
            **changes,
        }
        sent = {name: value for name, value in headers.items() if value}
        transport = httpx.ASGITransport(app=self.receiver)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            return (await client.post("/", content=self.job.body, headers=sent)).status_code

    @property
    def now(self) -> datetime:
        return from_ms(self.clock.now_ms())

    def set(self, instant: datetime) -> None:
        self.clock.advance(instant - self.now)

    async def jobs(self) -> int:
        return sum(sum(one.counts.values()) for one in await self.app.carrier.counts())


def make_app(
    namespace: str,
    emulator: EmulatorServer,
    folder: Path,
    clock: FakeClock,
    catch_up: CatchUp = CatchUp.LAST,
    guard: str | None = None,
) -> Headway:
    app = Headway(
        namespace,
        url=f"cloudtasks://demo/europe-west6?emulator={emulator.address}",
        guard=f"sqlite:///{folder}/guard.db" if guard is None else guard,
        target="http://127.0.0.1:9/",
        push_secret="s3cret",
        clock=clock,
    )

    @app.cron("0 3 * * *", name="nightly", catch_up=catch_up)
    @app.task(name="tidy")
    async def tidy() -> None: ...

    return app
