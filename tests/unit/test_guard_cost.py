"""What the guard costs: a store that bills commands bills two for an ordinary job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.brokers.base import BrokerSettings
from headway.guards.guard import Guard, Started
from headway.guards.transitions import PushedJob
from headway.guards.url import from_url
from headway.job import NewJob, Succeeded, WorkerId, new_job_id
from headway.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_ordinary_job_costs_two_commands_and_its_second_delivery_one_more(tmp_path: Path) -> None:
    store = from_url(f"sqlite:///{tmp_path}/guard.db", namespace="shop")
    guard = Guard(store, settings=BrokerSettings("shop"), clock=FakeClock())
    await guard.open()
    assert guard.commands_per_job == 0
    before = guard.commands
    jobs = [PushedJob(NewJob(new_job_id(), "t", "q", b"")) for _ in range(10)]
    for job in jobs:
        begun = await guard.begin(job, worker=WorkerId("w"), lease_ms=1000)
        assert isinstance(begun, Started)
        assert (await guard.settle(begun.delivery.lease, Succeeded())).applied
    assert guard.commands - before == 20
    assert guard.commands_per_job == guard.commands / 10
    await guard.begin(jobs[0], worker=WorkerId("other"), lease_ms=1000)
    assert guard.commands - before == 21
    await guard.close()
