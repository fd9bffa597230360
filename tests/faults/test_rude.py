"""Handlers that do to the loop of a worker what ends an ordinary program: it goes on, and so do their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.job import JobState
from tests.faults.deadly import RUDE

if TYPE_CHECKING:
    from tests.faults.shop import Shop


async def test_what_a_handler_does_to_the_loop_is_the_outcome_of_its_job_alone(shop: Shop) -> None:
    group = await shop.group(processes=1, concurrency=20, lease="2s")
    workers = group.workers
    neighbours = await shop.enqueue("waits_long", 2.0, count=4)
    await shop.started(neighbours)
    rude = {way: (await shop.enqueue("rude", way))[0] for way in RUDE}
    ledger = await shop.checked(60)
    assert group.workers == workers
    for way, job_id in rude.items():
        record = ledger.records[job_id]
        assert record is not None
        state = JobState.FAILED if RUDE[way] else JobState.SUCCEEDED
        assert (way, record.state, record.attempt, record.crashes) == (way, state, 1, 0)
        assert RUDE[way] in record.history
    for job_id in neighbours:
        record = ledger.records[job_id]
        assert record is not None
        assert (record.state, record.attempt, record.crashes) == (JobState.SUCCEEDED, 1, 0)
