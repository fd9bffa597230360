"""What a worker hears: that there may be work, that a job is to be cancelled, that its lease is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import CancelRequested, Handed, LeaseLost, Settlement, Wake
from headway.job import Failed, JobState, Released, RetryAt, Succeeded, UniqueLock, UniqueMode, WorkerId
from tests.conformance.listening import DEADLINE_S, Listener
from tests.conformance.scene import HOUR, LEASE_MS, SECOND, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from headway.brokers.base import Signal
    from headway.job import Delivery, JobId
    from headway.testing import FakeClock
    from tests.conformance.store import Store

pytestmark = pytest.mark.needs("pull")

W = WorkerId("w")
KEEP_LAST = UniqueLock("u", UniqueMode.KEEP_LAST)


@pytest.fixture
async def other(store: Store, clock: FakeClock) -> AsyncIterator[Scene]:
    """A second process on the same store."""
    async with store.broker() as broker:
        yield Scene(broker, clock)


async def _take_when_woken(scene: Scene, listener: Listener[Signal]) -> list[Delivery]:
    """Do as a worker does: claim, and when there is nothing wait for a Wake and claim again."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if deliveries := await scene.take():
                return deliveries
            await listener.until(lambda signal: isinstance(signal, Wake))


async def test_the_first_signal_is_a_wake(scene: Scene) -> None:
    """Whatever came before one listened is found by the claim that follows."""
    async with Listener(scene.carrier.signals(W)) as listener:
        assert await listener.next() == Wake()


async def test_an_idle_worker_is_woken_by_an_enqueue_of_its_own_process(scene: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        assert await scene.take() == []
        job_id = await scene.put()
        [delivery] = await _take_when_woken(scene, listener)
    assert delivery.lease.job_id == job_id


async def test_an_idle_worker_is_woken_by_an_enqueue_of_another_process(scene: Scene, other: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        assert await scene.take() == []
        job_id = await other.put()
        [delivery] = await _take_when_woken(scene, listener)
    assert delivery.lease.job_id == job_id


async def test_a_worker_is_woken_again_and_again(scene: Scene, other: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        for _ in range(20):
            assert await scene.take() == []
            job_id = await other.put()
            [delivery] = await _take_when_woken(scene, listener)
            assert delivery.lease.job_id == job_id
            await scene.finish(delivery)


async def test_no_wake_is_lost_between_an_empty_claim_and_an_enqueue(scene: Scene, other: Scene) -> None:
    """The race that leaves a job lying beside an idle worker."""
    async with Listener(scene.carrier.signals(W)) as listener:
        for _ in range(30):
            found, job_id = await asyncio.gather(scene.take(), other.put())
            [delivery] = found or await _take_when_woken(scene, listener)
            assert delivery.lease.job_id == job_id
            await scene.finish(delivery)


async def test_of_several_idle_workers_enough_are_woken(scene: Scene, other: Scene) -> None:
    """Each enqueue wakes a worker that could serve it: every job is taken although none of them polls."""
    total = 12
    taken: list[str] = []
    done = asyncio.Event()

    async def work(name: str) -> None:
        async with Listener(scene.carrier.signals(WorkerId(name))) as listener:
            while True:
                for delivery in await scene.take(1, worker=name):
                    await scene.finish(delivery)
                    taken.append(delivery.lease.job_id)
                    if len(taken) == total:
                        done.set()
                    break
                else:
                    await listener.until(lambda signal: isinstance(signal, Wake))

    workers = [asyncio.create_task(work(f"w{number}")) for number in range(4)]
    ids = [await other.put() for _ in range(total - 5)] + await other.put_many(5)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await done.wait()
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert sorted(taken) == sorted(ids)


@pytest.mark.parametrize(
    "way",
    ["release", "retry now", "retry by hand", "promote", "resume", "surrender", "reclaim", "unique end"],
)
async def test_whatever_makes_a_job_ready_wakes_an_idle_worker(scene: Scene, other: Scene, way: str) -> None:
    """Promise 2: a job that can be started does not lie beside an idle worker."""
    delivery = await other.start(other.job(unique=KEEP_LAST), worker="other")
    job_id = await _put_away(other, delivery, way)
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        assert await scene.take() == []
        await _bring_back(other, delivery, way)
        [again] = await _take_when_woken(scene, listener)
    assert again.lease.job_id == job_id


async def _put_away(other: Scene, delivery: Delivery, way: str) -> JobId:
    match way:
        case "retry by hand":
            await other.finish(delivery, Failed())
        case "promote":
            await other.finish(delivery, RetryAt(other.now + HOUR))
        case "resume":
            await other.carrier.pause("q")
            await other.finish(delivery, Released())
        case "unique end":
            return await other.put(other.job(unique=KEEP_LAST))
        case _:
            pass
    return delivery.lease.job_id


async def _bring_back(other: Scene, delivery: Delivery, way: str) -> None:
    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "release": lambda: other.finish(delivery, Released()),
        "retry now": lambda: other.finish(delivery, RetryAt(other.now)),
        "retry by hand": lambda: other.carrier.retry([delivery.lease.job_id]),
        "promote": lambda: other.carrier.promote([delivery.lease.job_id]),
        "resume": lambda: other.carrier.resume("q"),
        "surrender": lambda: other.carrier.surrender(WorkerId("other"), started=None),
        "reclaim": other.carrier.tend,
        "unique end": lambda: other.finish(delivery),
    }
    if way == "reclaim":
        other.clock.advance(LEASE_MS + 1)
    await acts[way]()


async def test_a_delayed_job_wakes_a_worker_that_knows_of_nothing_due(scene: Scene, other: Scene) -> None:
    """It has to learn when to come back."""
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        assert await scene.take() == []
        job_id = await other.put(other.job(due=HOUR))
        await listener.until(lambda signal: isinstance(signal, Wake))
        scene.clock.advance(HOUR)
        assert await scene.take_ids() == [job_id]


async def test_promotion_by_another_process_wakes(scene: Scene, other: Scene) -> None:
    """The one that tends need not be the one that works."""
    await other.put(other.job(due=SECOND))
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        assert await scene.take() == []
        scene.clock.advance(SECOND)
        assert (await other.carrier.tend()).promoted == 1
        assert len(await _take_when_woken(scene, listener)) == 1


@pytest.mark.needs("cancel_running")
async def test_a_cancel_of_a_running_job_reaches_its_worker(scene: Scene, other: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        delivery = await scene.start()
        await other.carrier.cancel([delivery.lease.job_id])
        heard = await listener.until(lambda signal: isinstance(signal, CancelRequested))
    assert heard[-1] == CancelRequested(delivery.lease.job_id)


@pytest.mark.needs("cancel_running")
async def test_a_cancel_reaches_no_other_worker(scene: Scene, other: Scene) -> None:
    async with (
        Listener(scene.carrier.signals(W)) as mine,
        Listener(other.carrier.signals(WorkerId("other"))) as others,
    ):
        await mine.next()
        await others.next()
        delivery = await scene.start(worker="w")
        theirs = await other.start(other.job(queue="theirs"), worker="other")
        await other.carrier.cancel([delivery.lease.job_id])
        await mine.until(lambda signal: signal == CancelRequested(delivery.lease.job_id))
        await scene.carrier.cancel([theirs.lease.job_id])
        heard = await others.until(lambda signal: isinstance(signal, CancelRequested))
    assert heard[-1] == CancelRequested(theirs.lease.job_id)


@pytest.mark.needs("cancel_running")
async def test_cancels_of_many_jobs_all_arrive(scene: Scene, other: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        await scene.put_many(50)
        ids = set(await scene.take_ids())
        await other.carrier.cancel(sorted(ids))
        while ids:
            signal = (await listener.until(lambda signal: isinstance(signal, CancelRequested)))[-1]
            assert isinstance(signal, CancelRequested)
            ids.discard(signal.job_id)


async def test_a_worker_whose_jobs_were_taken_back_is_told(scene: Scene, other: Scene) -> None:
    """Promise 4: a lease that is lost all the same cancels what still runs."""
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        await scene.start()
        scene.clock.advance(LEASE_MS + 1)
        assert (await other.carrier.tend()).reclaimed == 1
        heard = await listener.until(lambda signal: isinstance(signal, LeaseLost))
    assert heard[-1] == LeaseLost()


async def test_a_worker_that_settles_hears_of_no_lost_lease(scene: Scene, other: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        deliveries = [await scene.start(scene.job(queue=f"q{n}")) for n in range(3)]
        await scene.carrier.settle([Settlement(delivery.lease, Succeeded()) for delivery in deliveries])
        scene.clock.advance(LEASE_MS + 1)
        await other.carrier.tend()
        last = await scene.start()
        await other.carrier.cancel([last.lease.job_id])
        heard = await listener.until(lambda signal: isinstance(signal, CancelRequested))
    assert LeaseLost() not in heard


async def test_listening_again_starts_with_a_wake(scene: Scene) -> None:
    for _ in range(3):
        async with Listener(scene.carrier.signals(W)) as listener:
            assert await listener.next() == Wake()


async def test_a_wake_is_no_promise(scene: Scene, other: Scene) -> None:
    """Who was woken may come too late: it gets nothing, and the job is taken once."""
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        assert await scene.take() == []
        job_id = await other.put()
        await listener.until(lambda signal: isinstance(signal, Wake))
        assert await other.take_ids(worker="other") == [job_id]
        assert await scene.take() == []
    assert await scene.state(job_id) is JobState.RUNNING


async def _as_it_comes(scene: Scene, listener: Listener[Signal]) -> Delivery:
    """Do as a worker that may be sent a lone job itself: the carrier chooses whether to send it, or to wake only."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            match await listener.next():
                case Handed(delivery=delivery):
                    return delivery
                case Wake():
                    if deliveries := await scene.take():
                        return deliveries[0]
                case _:
                    pass


async def _lone_job(scene: Scene, other: Scene, listener: Listener[Signal]) -> Delivery:
    """Let an idle worker have a job that another process enqueues."""
    await listener.next()
    assert await scene.take() == []
    job_id = await other.put()
    delivery = await _as_it_comes(scene, listener)
    assert delivery.lease.job_id == job_id
    return delivery


async def test_a_lone_job_is_there_once_however_it_comes(scene: Scene, other: Scene) -> None:
    """Promise 1: whether it was sent or fetched, it is stored, leased to its worker, and settled as any other."""
    async with Listener(scene.carrier.signals(W, handed=True)) as listener:
        delivery = await _lone_job(scene, other, listener)
        record = await other.record(delivery.lease.job_id)
        assert (record.state, record.worker, record.payload) == (JobState.RUNNING, W, b"payload")
        assert (record.epoch, record.attempt, record.crashes) == (delivery.lease.epoch, 1, 0)
        assert await scene.take() == []
        assert await other.take(worker="v") == []
        await scene.finish(delivery, Succeeded(b"result"))
    record = await other.record(delivery.lease.job_id)
    assert (record.state, record.result) == (JobState.SUCCEEDED, b"result")


async def test_a_lone_job_of_a_dead_worker_comes_back_however_it_came(
    scene: Scene, other: Scene, clock: FakeClock
) -> None:
    """Promise 5: its lease has the length that the worker gave in its last claim."""
    async with Listener(scene.carrier.signals(W, handed=True)) as listener:
        delivery = await _lone_job(scene, other, listener)
    clock.advance(LEASE_MS - 1)
    assert await other.take(worker="v") == []
    clock.advance(2)
    again = await other.take_one(worker="v")
    assert again.lease.job_id == delivery.lease.job_id
    assert (again.lease.epoch, again.attempt, again.crashes) == (delivery.lease.epoch + 1, 2, 1)
    assert not await scene.settle(delivery, Succeeded(b"late"))


async def test_a_worker_that_waits_for_work_is_listed_with_its_queues(scene: Scene, other: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        assert await scene.take() == []
        [seen] = await other.carrier.workers()
        assert (seen.id, seen.holds, seen.lease_until_ms, seen.queues) == (W, 0, None, ("q",))
        await scene.put()
        [delivery] = await _take_when_woken(scene, listener)
        [seen] = await other.carrier.workers()
        assert (seen.id, seen.holds) == (W, 1)
        assert seen.lease_until_ms is not None
        await scene.settle(delivery, Succeeded(b""))
        assert [worker.holds for worker in await other.carrier.workers()] == [0]
    await scene.carrier.surrender(W, started=())
    async with asyncio.timeout(DEADLINE_S):
        while await other.carrier.workers():  # noqa: ASYNC110 - an end that nobody tells
            await asyncio.sleep(0.01)
