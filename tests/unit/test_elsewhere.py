"""An app that is open on one loop is used from others of the same process; without one it says how to open it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.errors import ArgumentsError, HeadwayError, JobNotFoundError
from headway.events import EventKind
from headway.job import new_job_id

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any


@pytest.fixture
def app(tmp_path: Path) -> Headway:
    made = Headway("elsewhere", url=f"sqlite:///{tmp_path}/jobs.db")

    @made.task(name="double")
    def _(n: int) -> int:
        return n * 2

    return made


async def on_another_loop(work: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.to_thread(asyncio.run, work)


async def test_what_a_loop_may_ask_another_may_too(app: Headway) -> None:
    task = app.find_task("double")

    async def elsewhere() -> None:
        jobs = [await task.enqueue(n) for n in range(3)] + list(
            await asyncio.gather(*map(task.enqueue, range(40)))
        )
        jobs += await app.enqueue_many(task.job(n) for n in range(3))
        assert len(await app.carrier.get([job.id for job in jobs])) == 46
        assert await jobs[0].status() == "ready"
        assert await jobs[0].cancel("enough") == "cancelled"
        assert await jobs[0].wait(timeout=5) == "cancelled"
        assert app.pull_carrier.capabilities.name == "sqlite"
        with pytest.raises(JobNotFoundError):
            await app.job(new_job_id()).record()
        with pytest.raises(ArgumentsError):
            await task.enqueue("x")

    async with app:
        await on_another_loop(elsewhere())
        (counts,) = await app.carrier.counts()
        assert (counts.counts["ready"], counts.counts["cancelled"]) == (45, 1)  # type: ignore[index]


async def test_events_come_through_from_the_call_on(app: Headway) -> None:
    task = app.find_task("double")

    async def elsewhere() -> tuple[str, str]:
        events = app.carrier.events()
        job = await task.enqueue(1)
        async for event in events:
            if event.kind is EventKind.ENQUEUED:
                await events.aclose()  # type: ignore[attr-defined]
                return event.job_id, job.id
        raise AssertionError

    async with app, asyncio.timeout(20):
        heard, sent = await on_another_loop(elsewhere())
        assert heard == sent


async def test_a_loop_that_opens_the_app_itself_has_its_own(app: Headway) -> None:
    task = app.find_task("double")

    async def elsewhere() -> bool:
        as_guest = app.carrier
        async with app:
            await task.enqueue(1)
            return app.carrier is not as_guest

    async with app:
        assert await on_another_loop(elsewhere())
        await task.enqueue(2)


async def test_where_it_is_open_nowhere_it_says_how_to_open_it(app: Headway) -> None:
    with pytest.raises(HeadwayError, match="is not open on this event loop: use `async with app:`"):
        await app.find_task("double").enqueue(1)
    async with app:
        await app.find_task("double").enqueue(1)
    with pytest.raises(HeadwayError, match="is not open"):
        await on_another_loop(app.find_task("double").enqueue(1))
    app.portal.serve_all()
    assert (await (await app.find_task("double").enqueue(2)).record()).task == "double"
    await asyncio.to_thread(app.sync.close)
