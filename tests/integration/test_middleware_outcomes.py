"""Whatever is thrown, wherever, is the same outcome with middleware around the handler as without."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url, pulled
from headway.job import JobState
from headway.runtime.mainloop import run_main
from tests.conformance import throwing
from tests.conformance.test_outcomes import check, job_of, run_all
from tests.hostile import THROWN

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
async def test_whatever_is_thrown_within_middleware_is_one_outcome_of_its_job(tmp_path: Path) -> None:
    """On one carrier: what a carrier makes of an outcome is the same either way."""
    await asyncio.to_thread(run_main, _throw_everything(f"sqlite:///{tmp_path / 'thrown.db'}"))


async def _throw_everything(url: str) -> None:
    throwing.armed[0] = False
    carrier = pulled(from_url(url, BrokerSettings("thrown")))
    app = throwing.build("thrown", carrier=carrier, around=True)
    cases = [(place.__name__, name) for place in throwing.PLACES for name in THROWN]
    try:
        async with app:
            thrown = await app.enqueue_many([job_of(app, *case) for case in cases])
            beside = await app.enqueue_many(
                [app.find_task("neighbour").job(n) for n in range(len(cases) // 4)]
            )
            throwing.armed[0] = True
            records = await run_all(app, carrier, [handle.id for handle in (*thrown, *beside)])
            for case, handle in zip(cases, thrown, strict=True):
                check(*case, records[handle.id])
            assert {records[handle.id].state for handle in beside} == {JobState.SUCCEEDED}
    finally:
        throwing.armed[0] = False
