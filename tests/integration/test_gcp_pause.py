"""A schedule is paused in Cloud Scheduler and in the record of the guard: what came meanwhile is dropped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from headway import CatchUp, Headway
from headway.clock import to_ms
from headway.gcp import Deployment
from headway.gcp.cloud import open_cloud
from headway.gcp.desired import desired, place_of
from headway.gcp.switch import switch
from headway.testing import FakeClock
from tests.integration.gcp_scheduled import THREE, Scheduled, make_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import EmulatorServer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(to_ms(THREE + timedelta(seconds=1)))


@pytest.fixture
async def catching_up(
    emulator: EmulatorServer, namespace: str, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Scheduled]:
    """An app that makes up for each missed fire time, deployed."""
    app = make_app(namespace, emulator, tmp_path, clock, CatchUp.ALL)
    async with app:
        scheduled = Scheduled(app, clock)
        async with open_cloud(place_of(app, Deployment()), namespace, emulator.environment) as (cloud, _):
            for one in desired(app, Deployment()):
                await cloud.providers[one.kind].create(one)
        yield scheduled


async def switched(app: Headway, emulator: EmulatorServer, *, paused: bool) -> tuple[list[str], list[str]]:
    """Pause or resume the schedule as `headway gcp` does; return what was changed, and the warnings."""
    warnings: list[str] = []
    async with open_cloud(place_of(app, Deployment()), app.name, emulator.environment) as (cloud, _):
        wanted = desired(app, Deployment())
        seen = await cloud.read(wanted)
        changed = await switch(
            app, wanted, seen, cloud, names=["nightly"], paused=paused, warn=warnings.append
        )
    return changed, warnings


async def test_fire_times_of_a_pause_are_dropped_also_where_all_are_made_up_for(
    catching_up: Scheduled, emulator: EmulatorServer
) -> None:
    name = f"schedule {catching_up.job.name}"
    await catching_up.call(THREE)
    assert await switched(catching_up.app, emulator, paused=True) == ([name], [])
    [record] = await catching_up.app.carrier.schedules()
    assert record.paused
    assert await switched(catching_up.app, emulator, paused=True) == ([], [])
    catching_up.set(THREE + timedelta(days=30, hours=9))
    assert await switched(catching_up.app, emulator, paused=False) == ([name], [])
    assert await switched(catching_up.app, emulator, paused=False) == ([], [])
    catching_up.set(THREE + timedelta(days=31))
    assert await catching_up.call() == 200
    assert await catching_up.jobs() == 2, "the one before the pause, and the one behind it"


async def test_a_pause_whose_record_was_not_reached_is_told_and_its_resume_drops_what_came_meanwhile(
    catching_up: Scheduled, emulator: EmulatorServer, namespace: str, tmp_path: Path, clock: FakeClock
) -> None:
    await catching_up.call(THREE)
    elsewhere = make_app(namespace, emulator, tmp_path, clock, guard="")
    changed, (warning,) = await switched(elsewhere, emulator, paused=True)
    assert changed == [f"schedule {catching_up.job.name}"]
    for part in ("schedule nightly", "only Cloud Scheduler is paused", "`catch_up`", "HEADWAY_GUARD"):
        assert part in warning
    catching_up.set(THREE + timedelta(days=30, hours=9))
    assert (await switched(catching_up.app, emulator, paused=False))[1] == []
    catching_up.set(THREE + timedelta(days=31))
    await catching_up.call()
    assert await catching_up.jobs() == 2


async def test_a_resume_without_the_record_says_what_comes_of_it(
    catching_up: Scheduled, emulator: EmulatorServer, namespace: str, tmp_path: Path, clock: FakeClock
) -> None:
    await catching_up.call(THREE)
    await switched(catching_up.app, emulator, paused=True)
    elsewhere = make_app(
        namespace, emulator, tmp_path, clock, guard=f"sqlite:///{tmp_path}/no/such/folder/guard.db"
    )
    changed, (warning,) = await switched(elsewhere, emulator, paused=False)
    assert changed == [f"schedule {catching_up.job.name}"]
    assert "only Cloud Scheduler is resumed: if the record is paused no call makes a job" in warning
    changed, _ = await switched(catching_up.app, emulator, paused=False)
    assert changed == [f"schedule {catching_up.job.name}"], "the record was still paused"
    [record] = await catching_up.app.carrier.schedules()
    assert not record.paused


async def test_a_schedule_that_no_receiver_has_made_known_owes_nothing(
    catching_up: Scheduled, emulator: EmulatorServer
) -> None:
    for paused in (True, False):
        assert (await switched(catching_up.app, emulator, paused=paused))[1] == []
        catching_up.clock.advance(timedelta(days=30))
    catching_up.set(THREE + timedelta(days=61))
    await catching_up.call()
    assert await catching_up.jobs() == 1
