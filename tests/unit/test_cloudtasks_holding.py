"""Who holds a key or a fire time, where the guard knows only of a reservation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from headway.errors import BrokerUnavailableError, UnsupportedError
from headway.job import Fire, UniqueLock, UniqueMode
from tests.unit.cloudtasks_scene import ApiError, CloudScene, new_job

if TYPE_CHECKING:
    from pathlib import Path

    from headway.job import NewJob


def _job(kind: str, scene: CloudScene) -> NewJob:
    return new_job(key="k") if kind == "key" else new_job(fire=Fire("s", scene.clock.now_ms()))


@pytest.mark.parametrize("kind", ["key", "fire"])
async def test_a_reservation_whose_job_was_never_created_stands_in_nobodys_way(
    tmp_path: Path, kind: str
) -> None:
    """Its producer died, or the call failed: whoever is told of a holder must be able to rely on it."""
    async with CloudScene(tmp_path, patience_s=0) as scene:
        first = _job(kind, scene)
        scene.api.fail("create_task", ApiError("UNAVAILABLE"))
        with pytest.raises(BrokerUnavailableError):
            await scene.carrier.enqueue([first])
        second = _job(kind, scene)
        assert await scene.carrier.find_held([second]) == [None]
        [answer] = await scene.carrier.enqueue([first])
        assert answer.duplicate_of is None
        assert await scene.carrier.find_held([second]) == [first.id]


async def test_it_takes_three_commands_however_many_are_asked_for(tmp_path: Path) -> None:
    async with CloudScene(tmp_path) as scene:
        jobs = [new_job(key=f"k{number}", fire=Fire(f"s{number}", 1)) for number in range(20)]
        await scene.carrier.enqueue(jobs)
        before = scene.carrier.guard_stats().commands
        await scene.carrier.find_held(jobs)
        assert scene.carrier.guard_stats().commands - before <= 3


async def test_plain_jobs_and_unique_keys_need_no_guard(tmp_path: Path) -> None:
    async with CloudScene(tmp_path, guard="") as scene:
        unique = replace(new_job(), unique=UniqueLock("u", UniqueMode.REJECT))
        assert await scene.carrier.find_held([new_job(), unique]) == [None, None]
        assert await scene.carrier.enqueue_held([unique]) == [None]
        with pytest.raises(UnsupportedError, match="HEADWAY_GUARD"):
            await scene.carrier.find_held([new_job(key="k")])
