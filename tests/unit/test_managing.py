"""Jobs and queues from outside, as typed values; the blocking twins have the same calls."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from headway import Headway, JobState, Retry
from headway.app.info import job_info
from headway.app.managing import Jobs, Queues, SyncJobs, SyncQueues
from headway.errors import ArgumentsError, DeclarationError
from headway.job import new_job_id
from headway.testing import FakeClock, inline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.testing import Inline

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Order:
    id: int
    at: datetime


@pytest.fixture
def app() -> Headway:
    made = Headway("managing")

    @made.task(name="pay", queue="money", retry=Retry.never())
    async def pay(order: Order, *, times: int = 1) -> Order:
        if times < 0:
            msg = "never"
            raise ValueError(msg)
        return order

    @made.task(name="tidy", tags=["upkeep"], aliases=["tidy_old"])
    def tidy() -> None: ...

    return made


@pytest.fixture
async def box(app: Headway) -> AsyncIterator[Inline]:
    async with inline(app) as opened:
        yield opened


async def test_a_record_has_values_and_instants(app: Headway, box: Inline) -> None:
    order = Order(7, NOW)
    job = (
        await app.find_task("pay")
        .options(delay=60, key="k", headers={"a": "b"}, expires="1h")
        .enqueue(order, times=2)
    )
    info = await job.record()
    assert (info.state, info.args, info.kwargs, info.headers) == (
        "scheduled",
        (order,),
        {"times": 2},
        {"a": "b"},
    )
    assert (info.key, info.queue, info.task, info.id) == ("k", "money", "pay", job.id)
    assert info.due_at == box.now + timedelta(minutes=1)
    assert info.expires_at == box.now + timedelta(minutes=61)
    assert abs(info.enqueued_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert (info.started_at, info.finished_at, info.waited, info.ran, info.error, info.result) == (None,) * 6
    box.clock.advance(90_000)
    await box.run_until_idle()
    info = await job.record()
    assert (info.state, info.result, info.attempt) == (JobState.SUCCEEDED, order, 1)
    assert info.waited == timedelta(seconds=30)
    assert info.ran is not None
    assert info.raw.state is JobState.SUCCEEDED


async def test_errors_are_told_with_their_attempts(app: Headway, box: Inline) -> None:
    job = await app.find_task("pay").enqueue(Order(1, NOW), times=-1)
    await box.run_until_idle(raise_errors=False)
    info = await job.record()
    assert info.error is not None
    assert (info.error.type, info.error.message, info.error.attempt) == ("ValueError", "never", 1)
    assert "test_managing.py" in info.error.traceback
    assert info.error.at == box.now
    assert info.errors == (info.error,)


async def test_jobs_are_listed_page_by_page(app: Headway, box: Inline) -> None:
    tidy = app.find_task("tidy")
    ids = {(await tidy.enqueue()).id for _ in range(5)}
    await app.find_task("pay").enqueue(Order(1, NOW))
    page = await app.jobs.list(task="tidy", limit=3)
    rest = await app.jobs.list(task="tidy", limit=3, after=page.cursor)
    assert {one.id for one in page.jobs + rest.jobs} == ids
    assert (len(page.jobs), rest.cursor) == (3, None)
    assert {
        one.task for one in (await app.jobs.list(queue="money", state=["ready", JobState.FAILED])).jobs
    } == {"pay"}
    assert (await app.jobs.list(state="failed")).jobs == []
    assert len((await app.jobs.list(search="TIDY")).jobs) == 5


async def test_jobs_are_found_by_the_tags_of_their_tasks(app: Headway, box: Inline) -> None:
    app.task(name="audit", tags=["upkeep", "books", "upkeep"])(tidy_again)
    tidy, audit = await app.find_task("tidy").enqueue(), await app.find_task("audit").enqueue()
    await app.find_task("pay").enqueue(Order(1, NOW))
    [old] = [structs.replace(app.find_task("tidy").job().new, task="tidy_old")]
    await app.carrier.enqueue([old])

    async def found(**query: Any) -> set[str]:
        return {one.id for one in (await app.jobs.list(**query)).jobs}

    assert await found(tag="upkeep") == {tidy.id, audit.id, old.id}
    assert await found(tag="books") == {audit.id}
    assert await found(tag=["books", "upkeep"]) == {tidy.id, audit.id, old.id}
    assert await found(tag="upkeep", task="tidy") == {tidy.id}
    assert await found(tag="books", task="tidy") == set()
    assert (await audit.record()).tags == ("upkeep", "books")
    with pytest.raises(
        ArgumentsError, match="no task of this app has the tag 'book'; there are: books, upkeep"
    ):
        await app.jobs.list(tag="book")


def tidy_again() -> None: ...


async def test_acts_take_ids_handles_and_records(app: Headway, box: Inline) -> None:
    tidy = app.find_task("tidy")
    first, second = await tidy.enqueue(), await tidy.options(delay="1h").enqueue()
    unknown = new_job_id()
    assert await app.jobs.promote(first, second.id, unknown) == [False, True, False]
    assert await app.jobs.cancel(first, unknown, reason="enough") == [JobState.CANCELLED, None]
    record, missing = await app.jobs.get(first.id, unknown)
    assert record is not None
    assert (record.reason, missing) == ("enough", None)
    assert await app.jobs.retry(record, second) == [True, False]
    assert await app.jobs.remove(first, second, first) == [True, True, False]
    assert await app.jobs.retry() == []


async def test_queues_are_counted_and_paused(app: Headway, box: Inline) -> None:
    await app.find_task("tidy").enqueue()
    await app.find_task("tidy").options(delay=9).enqueue()
    await app.queues.pause("money", "default")
    assert await app.queues.paused() == {"money", "default"}
    await app.queues.resume("money")
    (counted,) = await app.queues.counts("default")
    assert (counted.name, counted.paused) == ("default", True)
    assert (counted.counts[JobState.READY], counted.counts[JobState.SCHEDULED]) == (1, 1)
    assert counted.oldest_ready_at is not None
    assert [one.name for one in await app.queues.counts()] == ["default"]
    assert await app.queues.drain("default") == 2
    assert app.queues == ["default", "money"]


async def test_what_is_wrong_is_named(app: Headway, box: Inline) -> None:
    for wrong in ("x", None, 3, ["a"]):
        with pytest.raises(ArgumentsError, match="is not a job: give ids or handles"):
            await app.jobs.retry(wrong)  # type: ignore[arg-type]
    for limit in (0, 1001, True, "5"):
        with pytest.raises(ArgumentsError, match="limit must be a whole number from 1 to 1000"):
            await app.jobs.list(limit=limit)  # type: ignore[arg-type]
    with pytest.raises(ArgumentsError, match=r"state must be one of scheduled, .*; got 'dead'"):
        await app.jobs.list(state="dead")
    with pytest.raises(ArgumentsError, match="name the queues"):
        await app.queues.pause()
    with pytest.raises(DeclarationError, match="queue name"):
        await app.queues.drain("a{b")


@pytest.mark.parametrize(
    "damage",
    [
        {"payload": b"\xff"},
        {"payload": b""},
        {"payload": b"\x10\x91\x91\xc1"},
        {"payload": b"\x14" + b"x" * 20},
        {"result": b"\x10\xc1"},
        {"history": b"\xc1"},
        {"due_ms": 10**18, "started_ms": -(10**18), "finished_ms": 10**18, "expires_ms": 2**62},
        {"task": "unknown", "payload": b"\x10\x91\x91\x01"},
    ],
)
async def test_no_record_is_so_damaged_that_it_cannot_be_shown(
    app: Headway, box: Inline, damage: dict[str, Any]
) -> None:
    job = await app.find_task("tidy").enqueue()
    raw = structs.replace((await job.record()).raw, **damage)
    info = await job_info(app, raw, fetch=False)
    assert info.raw == raw
    assert bool(info.unreadable) == ("payload" in damage or "result" in damage) or info.args == (1,)


def test_the_blocking_twins_have_the_same_calls(tmp_path: Path) -> None:
    for twin, own in ((SyncJobs, Jobs), (SyncQueues, Queues)):
        calls = {name for name, one in vars(own).items() if inspect.iscoroutinefunction(one)}
        assert calls == {
            name for name, one in vars(twin).items() if inspect.isfunction(one) and name[0] != "_"
        }
        for name in calls:
            assert inspect.signature(getattr(twin, name)) == inspect.signature(getattr(own, name)).replace(
                return_annotation=inspect.signature(getattr(twin, name)).return_annotation
            )
    app = Headway("twins", url=f"sqlite:///{tmp_path}/jobs.db", clock=FakeClock(1_900_000_000_000))

    @app.task(name="tidy")
    def tidy() -> None: ...

    with app.sync:
        first, second = tidy.sync.enqueue(), tidy.options(delay=60).sync.enqueue()
        assert first.record().args == ()
        assert [one.id for one in app.sync.jobs.list(state="scheduled").jobs] == [second.id]
        assert app.sync.jobs.promote(first, second) == [False, True]
        assert app.sync.jobs.cancel(first, reason="r") == ["cancelled"]
        assert app.sync.jobs.retry(first) == [True]
        assert app.sync.jobs.remove(second.id) == [True]
        assert app.sync.jobs.get(second) == [None]
        app.sync.queues.pause("default")
        assert app.sync.queues.paused() == {"default"}
        app.sync.queues.resume("default")
        assert app.sync.queues.counts()[0].counts[JobState.READY] == 1
        assert app.sync.queues.drain("default") == 1
