"""What the guard costs: a store that bills commands bills two for an ordinary job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.app.opening import broker_settings
from headway.brokers.base import BrokerSettings
from headway.config import Settings
from headway.guards.beginning import Started
from headway.guards.document import PushedJob
from headway.guards.guard import Guard
from headway.guards.url import from_url
from headway.job import NewJob, Succeeded, WorkerId, new_job_id
from headway.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_ordinary_job_costs_two_commands_and_its_second_delivery_one_more(tmp_path: Path) -> None:
    store = from_url(f"sqlite:///{tmp_path}/guard.db", namespace="shop")
    guard = Guard(store, settings=BrokerSettings("shop"), clock=FakeClock())
    await guard.open()
    assert guard.stats.commands_per_job == 0
    before = guard.stats.commands
    jobs = [PushedJob(NewJob(new_job_id(), "t", "q", b"")) for _ in range(10)]
    for job in jobs:
        begun = await guard.begin(job, worker=WorkerId("w"), lease_ms=1000)
        assert isinstance(begun, Started)
        assert (await guard.settle(begun.delivery.lease, Succeeded())).applied
    assert guard.stats.commands - before == 20
    assert guard.stats.jobs == 10
    assert guard.stats.commands_per_job == guard.stats.commands / 10
    await guard.begin(jobs[0], worker=WorkerId("other"), lease_ms=1000)
    assert guard.stats.commands - before == 21
    await guard.close()


@pytest.mark.parametrize(("budget", "warnings"), [(0.0, 0), (2.5, 1), (4.0, 0)])
async def test_a_budget_that_is_exceeded_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, budget: float, warnings: int
) -> None:
    store = from_url(f"sqlite:///{tmp_path}/guard.db", namespace="shop")
    settings = BrokerSettings("shop", options=Settings(guard_budget=budget))
    guard = Guard(store, settings=settings, clock=FakeClock())
    await guard.open()
    for _ in range(120):
        job = PushedJob(NewJob(new_job_id(), "t", "q", b""))
        begun = await guard.begin(job, worker=WorkerId("w"), lease_ms=1000)
        assert isinstance(begun, Started)
        await guard.extend([begun.delivery.lease], 1000)  # the third command
        await guard.settle(begun.delivery.lease, Succeeded())
    await guard.close()
    told = [record.message for record in caplog.records if "guard_budget" in record.message]
    assert len(told) == warnings
    assert all("3." in text and "2.5" in text for text in told)


def test_an_app_tells_its_carrier_the_budget() -> None:
    app = Headway("shop", guard_budget=3)
    assert broker_settings("shop", app.settings).options.guard_budget == 3
