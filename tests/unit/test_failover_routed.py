"""Several carriers with a spool: which job may go to the next one, and that no two carriers ever have one job."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.app.accepted import Accepted
from headway.job import JobState
from headway.routing.moving import move_waiting
from headway.routing.routes import route_of
from tests.faults.until import until_told
from tests.unit.failover_scene import scene

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.failover_scene import Scene

MIXED = {"default": {"main": 50, "west": 50}}


async def _on_both(one: Scene) -> tuple[list[str], list[str]]:
    main, west = [[str(record.id) for record in await one.on(name)] for name in ("main", "west")]
    return main, west


async def test_the_next_carrier_of_the_route_takes_what_was_handed_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes=MIXED) as one:
        one.breaker().trip("away")
        handles = [await one.send.enqueue(n) for n in range(30)]
        handles += await one.app.enqueue_many([one.send.job(n) for n in range(30)])
        assert one.main.calls["enqueue"] == 0
        assert await one.waiting() == 0
        assert set((await _on_both(one))[1]) == {handle.id for handle in handles}
        west = one.carriers["west"].calls["get"]
        await one.app.jobs.get(*handles[:30])  # their ids say where they are
        assert one.carriers["west"].calls["get"] == west + 1


async def test_a_route_with_one_carrier_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes={"only": "west"} | MIXED) as one:
        one.breaker("west").trip("away")
        await one.send.options(queue="only").enqueue()
        assert await one.waiting() == 1
        assert await _on_both(one) == ([], [])


async def test_a_job_with_a_name_waits_for_its_carrier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes=MIXED) as one:
        for name in ("main", "west"):
            one.breaker(name).trip("away")
        keys = [f"key-{n}" for n in range(10)]
        one.breaker("west").looked()
        handles = [await one.send.options(key=key).enqueue() for key in keys]
        main, west = await _on_both(one)
        assert main == []
        assert 0 < len(west) < len(keys)
        assert await one.waiting() == len(keys) - len(west)
        again = [await one.send.options(key=key).enqueue() for key in keys]
        one.breaker().looked()
        await one.failover.flush()
        main, west = await _on_both(one)
        assert len(main) + len(west) == len(keys)
        assert {*main, *west} == {handle.id for handle in handles}
        assert {handle.id for handle in again} >= set(west)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_job_without_an_answer_goes_to_no_other_carrier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes=MIXED, breaker_errors=1) as one:
        for store in one.carriers.values():
            store.fail_next("enqueue", when=when)  # type: ignore[arg-type]
        handles = [await one.send.enqueue(n) for n in range(20)]
        first = await one.waiting()
        assert first >= 2  # one of each, and what came when both were away
        for name in ("main", "west"):
            await one.run(name)
            await one.failover.flushers[name]._lead_round()
            one.breaker(name).looked()
        await one.failover.flush()
        ran = [await one.run(name) for name in ("main", "west")]
        assert sum(map(len, ran)) == len(handles) - (2 if when == "after" else 0)
        main, west = await _on_both(one)
        assert sorted((*main, *west)) == sorted(handle.id for handle in handles)
        for name in ("main", "west"):
            assert {(job.state, job.epoch) for job in await one.on(name)} == {(JobState.SUCCEEDED, 1)}


async def test_a_job_that_was_moved_meanwhile_is_not_brought_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes={"default": "main"}) as one:
        one.main.fail_next("enqueue", when="after")
        handle = await one.send.enqueue()
        stores = {name: store.inner for name, store in one.carriers.items()}
        moved = await move_waiting(stores, "default", "main", "west")
        assert (moved.moved, await _on_both(one)) == (1, ([], [handle.id]))
        assert await one.flush() == 1
        assert await _on_both(one) == ([], [handle.id])


async def test_while_another_carrier_cannot_say_a_doubtful_job_waits_and_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes={"default": "main"}) as one:
        one.main.fail_next("enqueue")
        doubtful = await one.send.enqueue()
        clear = await one.send.enqueue()
        one.carriers["west"].fail_next("get", times=2)
        assert await one.flush() == 1
        assert "may be on another carrier" in one.failover.flushers["main"].held_up
        assert (await _on_both(one))[0] == [clear.id]
        assert await one.flush() == 1
        assert {*(await _on_both(one))[0]} == {clear.id, doubtful.id}


async def test_a_key_that_was_taken_elsewhere_meanwhile_is_not_taken_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The routes change while a job with a key is in the spool, and a producer elsewhere enqueues under that key."""
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes={"default": "main"}) as one:
        one.breaker().trip("away")
        await one.send.options(key="k").enqueue()
        assert await one.waiting() == 1

        one.failover._router._router._routes = {"default": route_of("default", {"west": 100})}  # type: ignore[union-attr]
        other = await one.send.options(key="k").enqueue()
        one.breaker().looked()
        assert await one.flush() == 1
        assert await _on_both(one) == ([], [other.id])


async def test_jobs_that_were_handed_to_nobody_follow_a_new_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    async with scene(
        tmp_path, monkeypatch, names=("main", "west"), routes={"default": "main"}, breaker_errors=1
    ) as one:
        one.main.fail_next("enqueue")
        doubtful = await one.send.enqueue()
        clear = [await one.send.enqueue(n) for n in range(3)]
        one.failover._router._router._routes = {"default": route_of("default", {"west": 100})}  # type: ignore[union-attr]
        await one.failover.flushers["main"].round()
        await one.flush("west")
        assert await one.run("west") == [handle.id for handle in clear]
        one.breaker().looked()
        await one.flush()
        assert await one.run() == [doubtful.id]


async def test_both_away_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes=MIXED) as one:
        for name in ("main", "west"):
            one.breaker(name).trip("away")
        handles = await asyncio.gather(*(one.send.enqueue(n) for n in range(20)))
        assert await one.waiting() == 20
        for name in ("main", "west"):
            one.breaker(name).looked()
        assert (await one.failover.flush()).jobs == 0
        main, west = await _on_both(one)
        assert min(len(main), len(west)) > 0
        assert {*main, *west} == {handle.id for handle in handles}


# --- figures, shadows ---------------------------------------------------------------------------------------------


async def _enqueued(one: Scene) -> dict[tuple[str, str], int]:
    """Return by carrier and queue how many jobs the figures of the process have as enqueued."""
    accepted = one.failover._counting
    assert isinstance(accepted, Accepted)
    return {
        (name, queue): count
        for name, counts in accepted._counts.items()
        for (queue, _), count in counts.items()
        if count
    }


async def test_a_job_of_the_spool_is_counted_once_by_the_carrier_that_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ("main", "west")
    async with scene(tmp_path, monkeypatch, names=both, routes={"only": "west"}, figures=True) as one:
        monkeypatch.setattr(Accepted, "_fold", lambda *_: None)
        for name in ("main", "west"):
            one.breaker(name).trip("away")
        ids = [(await one.send.options(queue="only").enqueue(n)).id for n in range(3)]
        await one.app.enqueue_many([one.send.options(queue="only").job(n) for n in range(2)])
        assert await _enqueued(one) == {}
        one.breaker("west").looked()
        await one.flush("west")
        assert await _enqueued(one) == {("west", "only"): 5}
        # One that had arrived before its answer was lost.
        one.carriers["west"].fail_next("enqueue", when="after")
        doubtful = await one.send.options(queue="only").enqueue()
        assert await _enqueued(one) == {("west", "only"): 5}
        await one.flush("west")
        assert await _enqueued(one) == {("west", "only"): 6}
        assert {record.id for record in await one.on("west")} >= {*ids, doubtful.id}


async def test_copies_go_neither_into_the_spool_nor_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = {"default": {"main": 100, "shadow": "west=100"}}
    async with scene(tmp_path, monkeypatch, names=("main", "west"), routes=routes) as one:
        one.breaker().trip("away")
        handle = await one.send.enqueue(1)

        async def copied() -> bool:
            return len(await one.on("west")) == 1

        await until_told(copied, "a copy")
        assert await one.waiting() == 1
        one.breaker("west").trip("away")
        one.carriers["west"].fail_next("enqueue")
        await one.send.enqueue(2)
        one.breaker().looked()
        assert await one.flush() == 2
        assert await one.waiting() == 0
        [copy] = await one.on("west")
        assert (copy.task, copy.queue) == ("shadow-of-send", "headway-shadows")
        assert (await one.run())[0] == handle.id
        assert len(await one.on("west")) == 1
