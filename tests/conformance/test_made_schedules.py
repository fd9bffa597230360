"""Schedules made at run time: a carrier keeps them under revisions, and each fire time gives one job (promise 6)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from headway import Headway
from headway.brokers.base import KEPT_DELETED_MS, JobQuery, MadeSchedule, ScheduleRecord
from headway.codec import describe
from headway.errors import ScheduleConflictError
from headway.job import Fire, JobState
from headway.runtime.made import MadeScheduler
from headway.service import Remarks
from tests.conformance.scene import DAY, HOUR, MINUTE, Scene

if TYPE_CHECKING:
    from headway.brokers.base import Carrier
    from tests.conformance.store import Store

_REMARKS = Remarks(logging.getLogger("headway.test"), "test")


def _made(scene: Scene, name: str = "tenant-7", body: bytes = b"body", **changes: object) -> MadeSchedule:
    return replace(MadeSchedule(name, scene.now, body), **changes)


async def _body(scene: Scene) -> dict[str, bytes]:
    return {one.name: one.body for one in await scene.carrier.made_schedules()}


async def test_they_are_kept_and_listed_by_name(scene: Scene, store: Store) -> None:
    made = [_made(scene, name) for name in ("b", "ünïcode | a:b/c", "a")]
    for one in made:
        assert await scene.carrier.write_schedule(one, expected=0)
    async with store.broker() as other:
        assert await other.made_schedules() == sorted(made, key=lambda one: one.name)
    assert await scene.carrier.schedules() == []


async def test_any_bytes_are_kept(scene: Scene) -> None:
    body = bytes(range(256)) * 255
    assert await scene.carrier.write_schedule(_made(scene, body=body), expected=0)
    assert await _body(scene) == {"tenant-7": body}


async def test_only_the_next_revision_is_written(scene: Scene) -> None:
    first = _made(scene)
    second = replace(first, revision=first.revision + 1, body=b"second")
    assert not await scene.carrier.write_schedule(second, expected=first.revision)
    assert await scene.carrier.write_schedule(first, expected=0)
    assert not await scene.carrier.write_schedule(replace(second, body=b"other"), expected=0)
    assert await scene.carrier.write_schedule(second, expected=first.revision)
    assert not await scene.carrier.write_schedule(
        replace(first, revision=first.revision + 2), expected=first.revision
    )
    assert await _body(scene) == {"tenant-7": b"second"}


async def test_a_write_whose_answer_was_lost_may_be_repeated(scene: Scene) -> None:
    for _ in range(3):
        assert await scene.carrier.write_schedule(_made(scene), expected=0)
    assert await scene.carrier.made_schedules() == [_made(scene)]


async def test_of_those_who_write_at_once_one_wins(scene: Scene, store: Store) -> None:
    async with store.broker() as other:
        writes = [
            (scene.carrier, other)[n % 2].write_schedule(_made(scene, body=b"%d" % n), expected=0)
            for n in range(10)
        ]
        answers = await asyncio.gather(*writes)
    [winner] = [n for n, won in enumerate(answers) if won]
    assert await _body(scene) == {"tenant-7": b"%d" % winner}


async def test_what_is_left_of_a_deleted_one_is_forgotten_with_its_last_fire(scene: Scene) -> None:
    """Until then a scheduler that lags behind cannot fire again what has fired."""
    first = _made(scene)
    await scene.carrier.write_schedule(first, expected=0)
    job = scene.job(fire=Fire(first.name, scene.now))
    await scene.put(job)
    gone = replace(first, revision=first.revision + 1, body=b"")
    assert await scene.carrier.write_schedule(gone, expected=first.revision)
    [left] = await scene.carrier.made_schedules()
    assert left.deleted
    assert (await scene.offer(scene.job(fire=Fire(first.name, scene.now)))).duplicate_of == job.id
    scene.clock.advance(KEPT_DELETED_MS + DAY)
    await scene.carrier.write_schedule(_made(scene, "other"), expected=0)
    assert [one.name for one in await scene.carrier.made_schedules()] == ["other"]
    assert await scene.carrier.write_schedule(_made(scene), expected=0)
    assert [one.last_fire_ms for one in await scene.carrier.made_schedules()] == [None, None]


async def test_the_last_fire_is_told(scene: Scene) -> None:
    await scene.carrier.write_schedule(_made(scene), expected=0)
    await scene.put(scene.job(fire=Fire("tenant-7", scene.now - MINUTE)))
    assert [one.last_fire_ms for one in await scene.carrier.made_schedules()] == [scene.now - MINUTE]
    await scene.carrier.skip_fire(Fire("tenant-7", scene.now))
    assert [one.last_fire_ms for one in await scene.carrier.made_schedules()] == [scene.now]


async def test_declarations_leave_them_alone(scene: Scene) -> None:
    await scene.carrier.write_schedule(_made(scene), expected=0)
    await scene.carrier.declare_schedules([ScheduleRecord("daily", "0 3 * * *", "shop.report")])
    await scene.carrier.declare_schedules([])
    assert await scene.carrier.made_schedules() == [_made(scene)]


# --- whole apps on the carrier ----------------------------------------------------------------------------------


def _app(scene: Scene, carrier: Carrier) -> Headway:
    app = Headway("made", carrier=carrier, clock=scene.clock, url="sqlite:///unused.db")

    @app.task(name="report", queue="q")
    async def report(tenant: int) -> None: ...

    return app


async def _fired(scene: Scene) -> Counter[int]:
    found: Counter[int] = Counter()
    after: str | None = None
    while True:
        page = await scene.carrier.list(JobQuery(states=(JobState.READY,)), after=after, limit=1000)
        found.update(describe(job.payload)["args"][0] for job in page.jobs)
        after = page.cursor
        if after is None:
            return found


async def test_hundreds_that_are_due_in_one_second_fire_once_each(scene: Scene, store: Store) -> None:
    """Promise 6: by three schedulers at once."""
    count = 500
    async with AsyncExitStack() as stack:
        apps = [
            await stack.enter_async_context(_app(scene, carrier))
            for carrier in (store.broker(), store.broker(), store.broker())
        ]
        schedules, report = apps[0].schedules, apps[0].find_task("report")
        for n in range(count):
            await schedules.create(f"tenant-{n}", report.job(n), every="1h")
        schedulers = [MadeScheduler(app, _REMARKS) for app in apps]
        scene.clock.advance(HOUR)
        looked = await asyncio.gather(*(one.look() for one in schedulers))
        assert [one.errors for one in looked] == [{}, {}, {}]
        await schedulers[0].look()
        assert await _fired(scene) == dict.fromkeys(range(count), 1)


async def test_a_change_is_seen_at_the_next_look_of_another_process(scene: Scene, store: Store) -> None:
    async with _app(scene, store.broker()) as mine, _app(scene, store.broker()) as theirs:
        scheduler, job = MadeScheduler(theirs, _REMARKS), mine.find_task("report").job
        await mine.schedules.create("tenant", job(1), cron="0 * * * *")
        assert (await scheduler.look()).pause <= 10.1
        scene.clock.advance(HOUR)
        await scheduler.look()
        await theirs.schedules.change("tenant", job=job(2))
        scene.clock.advance(HOUR)
        await scheduler.look()
        await mine.schedules.pause("tenant")
        scene.clock.advance(HOUR)
        await scheduler.look()
        await theirs.schedules.resume("tenant")
        await scheduler.look()
        assert await _fired(scene) == {1: 1, 2: 1}
        scene.clock.advance(HOUR)
        await scheduler.look()
        assert await mine.schedules.delete("tenant")
        scene.clock.advance(HOUR)
        await scheduler.look()
        assert await _fired(scene) == {1: 1, 2: 2}
        assert await theirs.schedules.list() == []
        await theirs.schedules.create("tenant", job(3), cron="0 * * * *")
        await scheduler.look()
        assert await _fired(scene) == {1: 1, 2: 2}
        scene.clock.advance(HOUR)
        await scheduler.look()
        assert await _fired(scene) == {1: 1, 2: 2, 3: 1}


async def test_of_those_who_create_one_name_at_once_one_succeeds(scene: Scene, store: Store) -> None:
    async with _app(scene, store.broker()) as mine, _app(scene, store.broker()) as theirs:
        made = [
            app.schedules.create("t", app.find_task("report").job(n), every="1h")
            for n, app in enumerate((mine, theirs))
        ]
        answers = await asyncio.gather(*made, return_exceptions=True)
        assert sorted(type(one).__name__ for one in answers) == ["ScheduleConflictError", "ScheduleInfo"]
        with pytest.raises(ScheduleConflictError, match="there is one of that name"):
            await mine.schedules.create("t", mine.find_task("report").job(9), every="1h")
