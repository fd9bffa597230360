"""How long completed jobs are kept, and that nothing else is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import JobQuery, LogLine, Progress, Report, Retention, Settlement
from headway.job import Cancelled, Expired, Failed, JobId, JobState, Outcome, Succeeded
from tests.conformance.scene import DAY, HOUR, MINUTE, SECOND, Scene

if TYPE_CHECKING:
    from tests.conformance.store import Store


async def _tend_all(scene: Scene) -> int:
    pruned = 0
    for _ in range(100):
        tended = await scene.carrier.tend()
        pruned += tended.pruned
        if not tended.pruned:
            return pruned
    raise AssertionError


async def _complete(scene: Scene, count: int, outcome: Outcome | None = None) -> list[JobId]:
    ids = await scene.put_many(count)
    deliveries = await scene.take(count)
    await scene.carrier.settle(
        [Settlement(delivery.lease, outcome or Succeeded()) for delivery in deliveries]
    )
    return ids


@pytest.mark.parametrize(
    ("outcome", "kept_for"),
    [(Succeeded(b"r"), DAY), (Cancelled("c"), DAY), (Expired(), DAY), (Failed(b"h"), 7 * DAY)],
    ids=["succeeded", "cancelled", "expired", "failed"],
)
async def test_a_completed_job_is_kept_for_its_time(scene: Scene, outcome: Outcome, kept_for: int) -> None:
    job_id = await scene.finish(await scene.start(), outcome)
    scene.clock.advance(kept_for - 1)
    assert await _tend_all(scene) == 0
    assert await scene.state(job_id) is not None
    scene.clock.advance(2)
    assert await _tend_all(scene) == 1
    assert await scene.state(job_id) is None
    assert (await scene.carrier.list(JobQuery())).jobs == []
    assert await scene.carrier.counts() == []


async def test_retention_counts_from_the_end_of_the_job(scene: Scene) -> None:
    job_id = await scene.put(scene.job(due=30 * DAY))
    scene.clock.advance(30 * DAY)
    await scene.finish(await scene.take_one())
    await _tend_all(scene)
    assert await scene.state(job_id) is JobState.SUCCEEDED


@pytest.mark.needs("max_wait_ms")
@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.READY, JobState.RUNNING])
async def test_a_job_that_is_not_complete_is_never_pruned(scene: Scene, state: JobState) -> None:
    """Promise 2."""
    job = scene.job(due=365 * DAY) if state is JobState.SCHEDULED else scene.job()
    if state is JobState.RUNNING:
        await scene.start(job, lease_ms=365 * DAY)
    else:
        await scene.put(job)
    scene.clock.advance(100 * DAY)
    await _tend_all(scene)
    assert await scene.state(job.id) is state


async def test_a_job_retried_by_hand_is_not_pruned_for_its_former_end(scene: Scene) -> None:
    """Promise 2: a new life is a life."""
    job_id = await scene.finish(await scene.start(), Failed())
    scene.clock.advance(6 * DAY)
    await scene.carrier.retry([job_id])
    scene.clock.advance(6 * DAY)
    await _tend_all(scene)
    assert await scene.state(job_id) is JobState.READY
    await scene.finish(await scene.take_one(), Failed())
    scene.clock.advance(2 * DAY)
    await _tend_all(scene)
    assert await scene.state(job_id) is JobState.FAILED


async def test_what_belongs_to_a_job_goes_with_it(scene: Scene) -> None:
    delivery = await scene.start(scene.job(key="k"))
    await scene.carrier.report(
        [Report(delivery.lease, Progress(0.5, "half")), Report(delivery.lease, LogLine(1, "info", "x"))]
    )
    job_id = await scene.finish(delivery)
    scene.clock.advance(DAY + 1)
    assert await _tend_all(scene) == 1
    assert await scene.carrier.logs(job_id) == []
    await scene.put(scene.job(key="k"))


async def test_many_old_jobs_are_pruned_in_steps(scene: Scene) -> None:
    """A round is bounded, and says to come back soon when there is more."""
    count = scene.many(2500, least=1100)
    await _complete(scene, count)
    scene.clock.advance(DAY + 1)
    pruned = 0
    while pruned < count:
        tended = await scene.carrier.tend()
        assert tended.pruned > 0
        pruned += tended.pruned
        if pruned < count:
            assert tended.next_in_ms is not None
            assert tended.next_in_ms <= MINUTE
    assert pruned == count
    assert await scene.carrier.counts() == []


@pytest.mark.needs("pull", "cap_succeeded", "one_store")
async def test_many_records_go_within_seconds_in_bounded_rounds(store: Store, scene: Scene) -> None:
    """Each round says when the next is due; none does too much at once."""
    retention = Retention(succeeded_ms=HOUR, max_succeeded=500)
    async with store.broker(retention=retention) as broker:
        brief = Scene(broker, scene.clock)
        await _complete(brief, 4000)
        tended = await broker.tend()
        assert tended.pruned == 0
        assert tended.next_in_ms is not None
        assert tended.next_in_ms <= MINUTE
        scene.clock.advance(tended.next_in_ms)
        began, rounds = scene.now, 0
        while await brief.count(JobState.SUCCEEDED) > 500:
            tended = await broker.tend()
            rounds += 1
            assert tended.pruned <= 1000
            assert scene.now - began <= MINUTE
            assert tended.next_in_ms is not None
            scene.clock.advance(tended.next_in_ms)
        assert rounds >= 4


async def test_retention_may_be_set(store: Store, scene: Scene) -> None:
    short = Retention(succeeded_ms=MINUTE, failed_ms=HOUR)
    async with store.broker(retention=short) as broker:
        own = Scene(broker, scene.clock)
        succeeded = await own.finish(await own.start(), Succeeded())
        failed = await own.finish(await own.start(), Failed())
        scene.clock.advance(MINUTE + 1)
        await _tend_all(own)
        assert await own.states([succeeded, failed]) == [None, JobState.FAILED]
        scene.clock.advance(HOUR)
        await _tend_all(own)
        assert await own.states([failed]) == [None]


@pytest.mark.needs("cap_succeeded", "one_store")
async def test_beyond_the_cap_the_oldest_go_first(store: Store, scene: Scene) -> None:
    async with store.broker(retention=Retention(max_succeeded=10)) as broker:
        own = Scene(broker, scene.clock)
        old = []
        for _ in range(3):
            old += await _complete(own, 5)
            scene.clock.advance(SECOND)
        scene.clock.advance(2 * MINUTE)
        assert await _tend_all(own) == 5
        assert await own.states(old) == [None] * 5 + [JobState.SUCCEEDED] * 10


@pytest.mark.needs("cap_succeeded", "one_store")
async def test_the_cap_spares_what_finished_in_the_last_minute(store: Store, scene: Scene) -> None:
    """Whoever awaits a result finds it, however many others finish meanwhile."""
    async with store.broker(retention=Retention(max_succeeded=5)) as broker:
        own = Scene(broker, scene.clock)
        ids = await _complete(own, 50)
        scene.clock.advance(59 * SECOND)
        assert await _tend_all(own) == 0
        assert await own.states(ids) == [JobState.SUCCEEDED] * 50
        scene.clock.advance(2 * SECOND)
        assert await _tend_all(own) == 45


@pytest.mark.needs("cap_succeeded", "one_store")
async def test_the_cap_counts_succeeded_cancelled_and_expired_but_no_failed_jobs(
    store: Store, scene: Scene
) -> None:
    """The dead-letter state drops nothing before its time."""
    async with store.broker(retention=Retention(max_succeeded=4)) as broker:
        own = Scene(broker, scene.clock)
        kinds: list[Outcome] = [Succeeded(), Cancelled(), Expired(), Failed()]
        for outcome in kinds:
            await _complete(own, 5, outcome)
            scene.clock.advance(SECOND)
        scene.clock.advance(2 * MINUTE)
        assert await _tend_all(own) == 11
        assert await own.count(JobState.FAILED) == 5
        left = sum(
            [await own.count(state) for state in (JobState.SUCCEEDED, JobState.CANCELLED, JobState.EXPIRED)]
        )
        assert left == 4


@pytest.mark.needs("pull")
async def test_tend_comes_back_when_the_first_record_is_old_enough(store: Store) -> None:
    """Else short retentions mean nothing: what is pruned waits for the next round."""
    async with store.broker(retention=Retention(succeeded_ms=5 * SECOND, failed_ms=9 * SECOND)) as broker:
        brief = Scene(broker, store.clock)
        await brief.finish(await brief.start(), Failed(b"h"))
        assert (await broker.tend()).next_in_ms == 9 * SECOND
        await brief.finish(await brief.start())
        store.clock.advance(SECOND)
        assert (await broker.tend()).next_in_ms == 4 * SECOND
        store.clock.advance(4 * SECOND)
        tended = await broker.tend()
        assert (tended.pruned, tended.next_in_ms) == (1, 4 * SECOND)


@pytest.mark.needs("cap_succeeded")
async def test_a_short_retention_prunes_thousands_within_seconds(store: Store) -> None:
    async with store.broker(retention=Retention(succeeded_ms=5 * SECOND, max_succeeded=1000)) as broker:
        brief = Scene(broker, store.clock)
        for _ in range(4):
            await _complete(brief, 1000)
        waited = pruned = 0
        while pruned < 4000:
            tended = await broker.tend()
            pruned += tended.pruned
            assert tended.next_in_ms is not None or pruned == 4000
            waited += tended.next_in_ms or 0
            store.clock.advance(tended.next_in_ms or 0)
        assert waited <= 10 * SECOND
        assert await broker.counts() == []
