"""Traffic that flips between two carriers while everybody is killed by turns: each job is on one, and ends once."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from headway.job import JobState
from headway.routing.moving import move_waiting
from tests.faults.flip_ledger import FlipLedger, all_jobs, judge
from tests.faults.flip_place import PRODUCERS, Place, place, suffer
from tests.faults.jobs import lines_of
from tests.faults.until import NotInTimeError, until_told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from headway.brokers.base import Store

SECONDS: Final = float(os.environ.get("HEADWAY_FLIPPED", "12"))
"""How long the routes flip; `HEADWAY_FLIPPED=60` is the long form."""
SEED: Final = int(os.environ.get("HEADWAY_FLIPPED_SEED", "3"))


async def _run(where: Place) -> FlipLedger:
    ends = asyncio.Event()
    for name, rate in PRODUCERS.items():
        await where.start_producer(name, rate, blocking=name == "blocking")
    await where.start_mover()
    suffering = asyncio.create_task(suffer(where, Random(SEED), ends))
    await asyncio.sleep(SECONDS)  # the length of the run is what is asked for
    with suppress(NotInTimeError):  # on a slow machine each successor takes longer to start
        await until_told(lambda: _is_shaken(where), "enough were killed", 3 * SECONDS, pause=0.2)
    ends.set()
    await suffering
    await where.stop_programs()
    async with where.app() as app:
        await _take_up(app.carriers, where)
        with suppress(NotInTimeError):  # the ledger says which ones are left
            await until_told(lambda: _finished(app.carriers), "all jobs finish", 60 + SECONDS, pause=0.2)
        return judge(await all_jobs(app.carriers), lines_of(where.asked), lines_of(where.effects), where.dead)


async def _is_shaken(where: Place) -> bool:
    return sum(where.killed.values()) > SECONDS / 6


async def _take_up(carriers: Mapping[str, Store], where: Place) -> None:
    """Finish what a killed mover had begun, as the same command would."""
    one, other = carriers
    for queue in where.queues:
        await move_waiting(carriers, queue, one, other)
        await move_waiting(carriers, queue, other, one)


async def _finished(carriers: Mapping[str, Store]) -> bool:
    counted = [one for store in carriers.values() for one in await store.counts()]
    return not any(count for one in counted for state, count in one.counts.items() if not state.terminal)


@pytest.mark.timeout(SECONDS * 6 + 180)
@pytest.mark.parametrize("pair", ["sqlite-redis", "redis-cloudtasks"])
async def test_routes_that_flip_while_everybody_is_killed_lose_no_job_and_complete_none_twice(
    pair: str, tmp_path: Path, namespace: str, redis_url: str, figure: Callable[[str], None]
) -> None:
    """Jobs have keys and unique names; workers, receivers, producers and the mover are killed at random."""
    carriers = {"east": redis_url}
    if pair == "sqlite-redis":
        carriers = {"east": f"sqlite:///{tmp_path}/east.db", "west": redis_url}
    guard = redis_url if pair == "redis-cloudtasks" else ""
    async with place(tmp_path, namespace, carriers, guard) as where:
        ledger = await _run(where)
        code, output = await where.command("routes", "verify", "--json")
    killed = ", ".join(f"{count} {kind}s" for kind, count in where.killed.items() if count)
    figure(f"{pair}: {ledger.table()}; killed {killed}")
    assert not ledger.wrong, "\n".join([ledger.table(), *ledger.wrong[:20]])
    verified = json.loads(output)
    assert (code, verified["ok"], verified["jobs"]) == (0, True, ledger.accepted)
    succeeded = sum(one["counts"].get(JobState.SUCCEEDED.value, 0) for one in verified["counts"])
    assert succeeded == ledger.accepted
    assert ledger.flips > 1
    assert await _is_shaken(where)  # each takes the time that its successor needs to start
    assert min(ledger.on.values()) > ledger.accepted / 10
