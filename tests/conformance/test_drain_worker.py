"""A worker that is asked to drain hears of it, whatever became of the message, and nobody else does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import CancelRequested, DrainRequested, Wake
from headway.job import WorkerId
from tests.conformance.listening import DEADLINE_S, Listener
from tests.conformance.scene import Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.brokers.base import Signal
    from headway.testing import FakeClock
    from tests.conformance.store import Store

pytestmark = [pytest.mark.needs("pull"), pytest.mark.needs("cancel_running")]

W, V = WorkerId("w"), WorkerId("v")


@pytest.fixture
async def other(store: Store, clock: FakeClock) -> AsyncIterator[Scene]:
    """A second process on the same store."""
    async with store.broker() as broker:
        yield Scene(broker, clock)


async def _heard(scene: Scene, listener: Listener[Signal], worker: WorkerId) -> list[Signal]:
    """Return what a listener has heard; a cancellation that is asked for now proves that nothing is missing."""
    delivery = await scene.start(scene.job(queue="beacon"), worker=worker)
    job_id = delivery.lease.job_id
    await scene.carrier.cancel([job_id])
    return await listener.until(lambda signal: signal == CancelRequested(job_id))


async def _drains(scene: Scene) -> dict[WorkerId, bool]:
    return {one.id: one.draining for one in await scene.carrier.workers()}


async def _is_not_drained(scene: Scene) -> None:
    """Wait until W is there and asked for nothing: what was asked of one before is dropped while W begins."""
    async with asyncio.timeout(DEADLINE_S):
        while await _drains(scene) != {W: False}:  # noqa: ASYNC110 - an end that nobody tells
            await asyncio.sleep(0.01)


async def test_a_request_reaches_its_worker_and_no_other(scene: Scene, other: Scene) -> None:
    async with (
        Listener(scene.carrier.signals(W)) as mine,
        Listener(scene.carrier.signals(V)) as others,
    ):
        assert (await mine.next(), await others.next()) == (Wake(), Wake())
        for worker in (W, V):
            assert await scene.take(worker=worker) == []
        assert await _drains(other) == {W: False, V: False}
        assert await other.carrier.drain_worker(W)
        assert await mine.until(lambda signal: isinstance(signal, DrainRequested))
        assert await _drains(other) == {W: True, V: False}
        assert DrainRequested() not in await _heard(scene, others, V)


async def test_nobody_is_asked_where_no_such_worker_is(scene: Scene, other: Scene) -> None:
    assert not await other.carrier.drain_worker(W)
    async with Listener(scene.carrier.signals(W)) as listener:
        assert DrainRequested() not in await _heard(scene, listener, W)
        await _is_not_drained(other)


async def test_a_worker_that_was_cut_off_hears_of_it_when_it_listens_again(
    scene: Scene, other: Scene
) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        await scene.start(worker="w")
    assert await other.carrier.drain_worker(W)
    for _ in range(2):  # as long as it has not ended
        async with Listener(scene.carrier.signals(W)) as listener:
            await listener.until(lambda signal: isinstance(signal, DrainRequested))


async def test_a_request_that_a_worker_left_behind_does_not_reach_a_later_one_of_its_name(
    scene: Scene, other: Scene
) -> None:
    """The worker was killed together with its supervisor; nobody surrendered what it held."""
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        await scene.start(worker="w")
        assert await other.carrier.drain_worker(W)
        await listener.until(lambda signal: isinstance(signal, DrainRequested))
    async with Listener(other.carrier.signals(W)) as listener:
        assert DrainRequested() not in await _heard(other, listener, W)
        await _is_not_drained(other)
        assert await scene.carrier.drain_worker(W), "the later one can be asked as well"
        await listener.until(lambda signal: isinstance(signal, DrainRequested))


async def test_a_request_ends_with_its_worker(scene: Scene, other: Scene) -> None:
    async with Listener(scene.carrier.signals(W)) as listener:
        await listener.next()
        await scene.start(worker="w")
        assert await other.carrier.drain_worker(W)
        assert await other.carrier.drain_worker(W), "asked twice is asked once"
        await scene.carrier.surrender(W, started=())
    async with Listener(scene.carrier.signals(W)) as listener:
        assert DrainRequested() not in await _heard(scene, listener, W)
        await _is_not_drained(other)
