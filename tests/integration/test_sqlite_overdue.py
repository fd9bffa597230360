"""What is over holds nothing, also while no worker looks: expired holders of unique keys, records past their retention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.brokers.base import BrokerSettings, Retention
from headway.brokers.sqlite.broker import SqliteBroker
from headway.job import Failed, JobState, Succeeded, UniqueLock, UniqueMode
from headway.testing import FakeClock
from tests.conformance.scene import DAY, HOUR, SECOND, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock = FakeClock()
    async with SqliteBroker(f"sqlite:///{tmp_path / 'x.db'}", BrokerSettings("app"), clock=clock) as broker:
        yield Scene(broker, clock)


async def test_the_end_of_retention_frees_the_key_also_while_nobody_looks(scene: Scene) -> None:
    """No worker ran, so nobody has pruned the record."""
    await scene.finish(await scene.start(scene.job(key="k")), Succeeded())
    scene.clock.advance(DAY - 1)
    assert (await scene.offer(scene.job(key="k"))).duplicate_of is not None
    scene.clock.advance(1)
    again = await scene.put(scene.job(key="k"))
    assert await scene.take_ids() == [again]


@pytest.mark.parametrize("mode", [UniqueMode.REJECT, UniqueMode.DEBOUNCE, UniqueMode.KEEP_LAST])
@pytest.mark.parametrize("delay", [None, HOUR])
async def test_a_holder_that_expired_while_nobody_looked_holds_nothing(
    scene: Scene, mode: UniqueMode, delay: int | None
) -> None:
    """No worker ran, so nobody has ended it."""
    lock = UniqueLock("u", mode)
    gone = await scene.put(scene.job(unique=lock, due=delay, expires=SECOND))
    scene.clock.advance(SECOND)
    job_id = await scene.put(scene.job(unique=lock))
    assert await scene.take_ids() == [job_id]
    assert await scene.state(gone) is JobState.EXPIRED


async def test_who_was_held_back_follows_a_holder_that_expired_while_nobody_looked(scene: Scene) -> None:
    lock = UniqueLock("u", UniqueMode.KEEP_LAST)
    running = await scene.start(scene.job(unique=lock))
    held = await scene.put(scene.job(unique=lock, expires=SECOND))
    await scene.finish(running)
    scene.clock.advance(SECOND)
    job_id = await scene.put(scene.job(unique=UniqueLock("u", UniqueMode.REJECT)))
    assert await scene.take_ids() == [job_id]
    assert await scene.state(held) is JobState.EXPIRED


async def test_tend_comes_back_when_the_first_record_is_old_enough(tmp_path: Path) -> None:
    clock = FakeClock()
    settings = BrokerSettings("app", retention=Retention(succeeded_ms=5 * SECOND, failed_ms=9 * SECOND))
    async with SqliteBroker(f"sqlite:///{tmp_path / 'x.db'}", settings, clock=clock) as broker:
        brief = Scene(broker, clock)
        await brief.finish(await brief.start(), Failed(b"h"))
        assert (await broker.tend()).next_in_ms == 9 * SECOND
        await brief.finish(await brief.start())
        clock.advance(SECOND)
        assert (await broker.tend()).next_in_ms == 4 * SECOND
        clock.advance(4 * SECOND)
        tended = await broker.tend()
        assert (tended.pruned, tended.next_in_ms) == (1, 4 * SECOND)
