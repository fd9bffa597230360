"""Settling and its fence: promise 3, *exactly one completion*."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import Settlement
from headway.job import (
    Cancelled,
    Expired,
    Failed,
    JobState,
    Lease,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    WorkerId,
)
from tests.conformance.scene import LEASE_MS, OUTCOMES, SECOND, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store

by_name = pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)


@pytest.mark.parametrize(
    ("outcome", "state", "result", "history", "reason"),
    [
        (Succeeded(b"\x00result"), JobState.SUCCEEDED, b"\x00result", b"", ""),
        (Succeeded(), JobState.SUCCEEDED, b"", b"", ""),
        (Failed(b"\xffhistory|a:b"), JobState.FAILED, b"", b"\xffhistory|a:b", ""),
        (Failed(), JobState.FAILED, b"", b"", ""),
        (Cancelled("ungültig | ☃\nline two"), JobState.CANCELLED, b"", b"", "ungültig | ☃\nline two"),
        (Cancelled(), JobState.CANCELLED, b"", b"", ""),
        (Expired(), JobState.EXPIRED, b"", b"", ""),
    ],
)
async def test_a_terminal_outcome_is_recorded(
    scene: Scene, outcome: Outcome, state: JobState, result: bytes, history: bytes, reason: str
) -> None:
    delivery = await scene.start()
    started = scene.now
    scene.clock.advance(SECOND)
    assert await scene.settle(delivery, outcome)
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.result, record.history) == (state, result, history)
    if reason:
        assert record.reason == reason
    assert (record.started_ms, record.finished_ms) == (started, scene.now)
    assert (record.attempt, record.epoch, record.worker) == (1, 1, delivery.lease.worker)
    assert record.payload == b"payload"
    assert await scene.take() == []


@by_name
async def test_a_job_completes_once_and_later_outcomes_are_superseded(scene: Scene, outcome: Outcome) -> None:
    """Promise 3: a job reaches one terminal state once."""
    delivery = await scene.start()
    await scene.finish(delivery, Succeeded(b"first"))
    before = await scene.record(delivery.lease.job_id)
    scene.clock.advance(SECOND)
    assert not await scene.settle(delivery, outcome)
    assert await scene.record(delivery.lease.job_id) == before
    assert await scene.take() == []


@by_name
@pytest.mark.parametrize("difference", ["older epoch", "newer epoch", "another worker"])
async def test_a_settle_without_the_lease_changes_nothing(
    scene: Scene, outcome: Outcome, difference: str
) -> None:
    """Promise 3: a settle under a stale epoch is refused."""
    await scene.finish(await scene.start(), Released())
    lease = (await scene.take_one()).lease
    assert lease.epoch == 2
    wrong = {
        "older epoch": Lease(lease.job_id, lease.worker, 1),
        "newer epoch": Lease(lease.job_id, lease.worker, 3),
        "another worker": Lease(lease.job_id, WorkerId("thief"), 2),
    }[difference]
    before = await scene.record(lease.job_id)
    assert not await scene.settle(wrong, outcome)
    assert await scene.record(lease.job_id) == before
    assert await scene.settle(lease, Succeeded())


@by_name
async def test_a_settle_of_an_unknown_job_is_superseded(scene: Scene, outcome: Outcome) -> None:
    unknown = Lease(scene.job().id, WorkerId("w"), 1)
    assert not await scene.settle(unknown, outcome)
    assert await scene.state(unknown.job_id) is None
    assert await scene.take() == []


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.RUNNING])
async def test_a_settle_of_a_job_that_does_not_run_is_superseded(scene: Scene, state: JobState) -> None:
    """Promise 3: the states of the table only."""
    job_id = await scene.reach(state)
    before = await scene.record(job_id)
    for epoch in (0, 1):
        if state is not JobState.SUCCEEDED or epoch != 1:
            assert not await scene.settle(Lease(job_id, WorkerId("w"), epoch), Failed(b"forged"))
    assert await scene.record(job_id) == before


async def test_a_settle_after_a_release_is_superseded(scene: Scene) -> None:
    """Promise 3: who gave the job back holds it no more."""
    delivery = await scene.start()
    await scene.finish(delivery, Released())
    assert not await scene.settle(delivery, Succeeded())
    assert await scene.state(delivery.lease.job_id) is JobState.READY


async def test_a_settle_after_a_retry_was_set_is_superseded(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.finish(delivery, RetryAt(scene.now + SECOND))
    assert not await scene.settle(delivery, Succeeded())
    assert await scene.state(delivery.lease.job_id) is JobState.SCHEDULED


async def test_a_settle_of_a_removed_job_is_superseded(scene: Scene) -> None:
    delivery = await scene.start()
    await scene.finish(delivery, Released())
    assert await scene.carrier.remove([delivery.lease.job_id]) == [True]
    assert not await scene.settle(delivery, Succeeded())
    assert await scene.state(delivery.lease.job_id) is None


async def test_a_batch_is_settled_each_by_its_own_lease(scene: Scene) -> None:
    """One stale item does not harm the others."""
    await scene.put_many(4)
    a, b, c, d = await scene.take()
    stale = Lease(b.lease.job_id, b.lease.worker, 7)
    unknown = Lease(scene.job().id, WorkerId("w"), 1)
    results = await scene.carrier.settle(
        [
            Settlement(a.lease, Succeeded(b"a")),
            Settlement(stale, Succeeded(b"stale")),
            Settlement(unknown, Failed()),
            Settlement(c.lease, Failed(b"c")),
            Settlement(d.lease, RetryAt(scene.now + SECOND, b"d")),
        ]
    )
    assert [(result.job_id, result.applied) for result in results] == [
        (a.lease.job_id, True),
        (b.lease.job_id, False),
        (unknown.job_id, False),
        (c.lease.job_id, True),
        (d.lease.job_id, True),
    ]
    assert await scene.states([x.lease.job_id for x in (a, b, c, d)]) == [
        JobState.SUCCEEDED,
        JobState.RUNNING,
        JobState.FAILED,
        JobState.SCHEDULED,
    ]


async def test_the_same_lease_twice_in_a_batch_is_applied_once(scene: Scene) -> None:
    """Promise 3: the first outcome stands."""
    delivery = await scene.start()
    results = await scene.carrier.settle(
        [Settlement(delivery.lease, Succeeded(b"first")), Settlement(delivery.lease, Failed(b"second"))]
    )
    assert [result.applied for result in results] == [True, False]
    record = await scene.record(delivery.lease.job_id)
    assert (record.state, record.result) == (JobState.SUCCEEDED, b"first")


async def test_an_empty_batch_is_settled(scene: Scene) -> None:
    assert await scene.carrier.settle([]) == []


async def test_a_thousand_outcomes_are_settled_at_once(scene: Scene) -> None:
    ids = await scene.put_many(1000)
    deliveries = await scene.take(1000)
    results = await scene.carrier.settle(
        [Settlement(delivery.lease, Succeeded(delivery.lease.job_id.encode())) for delivery in deliveries]
    )
    assert all(result.applied for result in results)
    assert [record and record.result for record in await scene.carrier.get(ids)] == [x.encode() for x in ids]
    assert await scene.carrier.workers() == []


async def test_concurrent_settles_of_one_lease_are_applied_once(scene: Scene, store: Store) -> None:
    """Promise 3 under a race, from two processes."""
    delivery = await scene.start()
    async with store.broker() as other:
        answers = await asyncio.gather(
            *(
                Scene(broker, scene.clock).settle(delivery, Succeeded(str(n).encode()))
                for n, broker in enumerate((scene.carrier, other) * 10)
            )
        )
    assert sum(answers) == 1
    assert (await scene.record(delivery.lease.job_id)).result == str(answers.index(True)).encode()


@pytest.mark.needs("pull")
async def test_a_settle_and_a_reclaim_that_race_give_one_of_the_two(scene: Scene, store: Store) -> None:
    """Promise 3: either the outcome counts, or the job runs again; never both."""
    async with store.broker() as other:
        for number in range(20):
            delivery = await scene.start(scene.job(queue=f"q{number}"))
            scene.clock.advance(LEASE_MS + 1)
            applied, tended = await asyncio.gather(scene.settle(delivery, Succeeded()), other.tend())
            assert applied == (tended.reclaimed == 0)
            state = await scene.state(delivery.lease.job_id)
            assert state is (JobState.SUCCEEDED if applied else JobState.READY)


@pytest.mark.needs("fifo")
async def test_all_jobs_of_a_batch_may_be_released_in_order(scene: Scene) -> None:
    """Graceful shutdown hands a whole prefetch back at once: the queue looks as it did before."""
    ids = await scene.put_many(5)
    deliveries = await scene.take(3)
    results = await scene.carrier.settle([Settlement(delivery.lease, Released()) for delivery in deliveries])
    assert all(result.applied for result in results)
    assert sorted(await scene.take_ids(3)) == sorted(ids[:3])
    assert await scene.take_ids() == ids[3:]
