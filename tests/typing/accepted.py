"""What type checkers must accept, and the types that they must find: checked by `make check`, not run."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_type

from headway import (
    Context,
    EnqueueCall,
    Headway,
    JobCall,
    JobHandle,
    JobInfo,
    JobState,
    Proceed,
    QueueInfo,
    Resource,
    Resources,
    Retry,
    ScheduleInfo,
    SyncJobHandle,
    Unique,
)
from headway.app.prepared import PreparedJob
from headway.brokers.base import LogLine, Progress
from headway.http import HttpCall, HttpResult, call
from headway.testing import inline, inline_sync

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

    from headway.app.task import AsyncTask, PlainTask

app = Headway("typed", url="sqlite:///typed.db", lease="15s", concurrency=5)


@dataclass
class Order:
    id: int


@app.task
async def send(user: int, *, template: str = "plain") -> str:
    return f"{user} {template}"


@app.task(queue="slow", timeout=90, retry=Retry(max_attempts=5), priority=5, unique=Unique(), run_in="thread")
def resize(path: str, width: int = 100) -> Order:
    return Order(len(path) * width)


@app.task
async def with_context(ctx: Context, order: Order) -> int:
    await ctx.progress(0.5, "half")
    return order.id


@app.task(name="plain_with_context")
def plain_with_context(ctx: Context, n: int) -> None:
    ctx.log("n is %d", n)


@app.task(aliases=["resize_old"], expires="1h", retry=Retry(initial="5s", delays=["1m", 60, timedelta(1)]))
def renamed() -> None: ...


class Pool: ...


@app.resource
async def pool() -> AsyncIterator[Pool]:
    yield Pool()


@app.resource
async def pool_generator() -> AsyncGenerator[Pool]:
    yield Pool()


@app.resource
def plain() -> Iterator[Order]:
    yield Order(1)


@app.resource
def plain_generator() -> Generator[Order]:
    yield Order(1)


@app.resource
async def uses_others(resources: Resources) -> AsyncIterator[str]:
    assert_type(resources[pool], Pool)
    yield f"{resources[plain].id}"


@app.resource
def plain_uses_others(resources: Resources) -> Iterator[Pool | None]:
    yield resources[pool]


@app.task
async def with_resources(ctx: Context) -> None:
    assert_type(pool, Resource[Pool])
    assert_type(ctx.resource(pool), Pool)
    assert_type(ctx.resource(pool_generator), Pool)
    assert_type(ctx.resource(plain), Order)
    assert_type(ctx.resource(plain_generator), Order)
    assert_type(ctx.resource(uses_others), str)
    assert_type(ctx.resource(plain_uses_others), Pool | None)


@app.middleware
async def around(call: JobCall, proceed: Proceed) -> Any:
    assert_type(call.resource(pool), Pool)
    assert_type(call.headers["tenant"], str)
    return await proceed()


@app.on_enqueue
def before(call: EnqueueCall) -> None:
    call.headers["tenant"] = call.queue


async def still_functions(call: JobCall, proceed: Proceed) -> None:
    await around(call, proceed)


@app.task(tags=["billing"])
async def tagged() -> None: ...


async def stood_in_for() -> None:
    async with inline(app, resources={pool: Pool(), plain: object()}) as box:
        await box.run_until_idle()
    with inline_sync(app, resources={pool: Pool()}):
        pass


@app.every("5m", name="in text")
@app.cron("*/5 * * * *", timezone="Europe/Zurich")
@app.every(timedelta(minutes=5), name="often")
@app.task
def tidy() -> None: ...


async def uses() -> None:
    assert_type(app, Headway)
    async with app as opened:
        assert_type(opened, Headway)
        job = await send.enqueue(42, template="pro")
        assert_type(job, JobHandle[str])
        assert_type(await job.result(timeout=10), str)
        assert_type(await job.status(), JobState)
        assert_type(await job.wait(timedelta(seconds=1)), JobState)
        assert_type(await job.cancel(), JobState)
        assert_type(await job.record(), JobInfo)
        assert_type((await job.record()).finished_at, datetime | None)
        assert_type((await app.jobs.list(state="failed", queue=["a"])).jobs, list[JobInfo])
        assert_type(await app.jobs.retry(job, job.id), list[bool])
        assert_type(await app.queues.counts(), list[QueueInfo])
        assert_type(list(app.queues), list[str])
        assert_type(await job.progress(), Progress | None)
        assert_type(await job.logs(), list[LogLine])
        assert_type(await (await resize.enqueue("a", width=3)).result(), Order)
        # The Context is the worker's to give.
        assert_type(await (await with_context.enqueue(Order(1))).result(), int)
        assert_type(await (await plain_with_context.enqueue(n=1)).result(), None)
        assert_type(await send.options(delay=5, priority=9, key="k").enqueue(1), JobHandle[str])
        assert_type(await send.options(at=datetime.now(UTC), headers={"a": "b"}).enqueue(1), JobHandle[str])
        assert_type(await app.enqueue_many(send.job(n) for n in range(3)), list[JobHandle[str]])
        both: list[PreparedJob[str | Order]] = [send.job(1), resize.job("a")]
        assert_type(await app.enqueue_many(both), list[JobHandle[str | Order]])
        # Of different results: which type they have in common is for each checker to say.
        for handle in await app.enqueue_many([send.job(1), with_context.job(Order(1))]):
            assert_type(await handle.wait(), JobState)
        wider: list[JobHandle[str | None]] = [job]
        _ = wider
        await send.options(delay="5m", timeout="90s").enqueue(1)
        assert_type(send.options(unique=None).job(1), PreparedJob[str])
        assert_type(app.job("x"), JobHandle[Any])


def blocking_uses() -> None:
    job = send.sync.enqueue(42, template="pro")
    assert_type(job, SyncJobHandle[str])
    assert_type(job.result(timeout=10), str)
    assert_type(job.status(), JobState)
    assert_type(resize.options(delay=1).sync.enqueue("a").result(), Order)
    assert_type(app.sync.jobs.list(task="send").cursor, str | None)
    assert_type(app.sync.jobs.remove(job), list[bool])
    assert_type(app.sync.queues.counts("a"), list[QueueInfo])
    several: list[SyncJobHandle[str | Order]] = [job, resize.sync.enqueue("a")]
    _ = several
    assert_type(app.sync.enqueue_many(resize.job("a") for _ in range(3)), list[SyncJobHandle[Order]])


async def direct_calls() -> None:
    """A task is still its function."""
    assert_type(await send(1, template="x"), str)
    assert_type(resize("a", 1), Order)
    assert_type(tidy(), None)


def kinds(coroutine_function: AsyncTask[[int], str], function: PlainTask[[int], str]) -> None:
    """The two kinds differ in what a direct call gives."""
    assert_type(function(1), str)
    _ = coroutine_function(1)


async def schedules_at_run_time() -> None:
    made = await app.schedules.create(
        "s", send.job(1), cron="0 3 * * *", timezone="Europe/Zurich", first_fire=datetime.now(UTC)
    )
    assert_type(made, ScheduleInfo)
    await app.schedules.put("s", send.options(priority=9).job(1), every=timedelta(minutes=5))
    await app.schedules.change("s", catch_up="all")
    assert_type(await app.schedules.list(), list[ScheduleInfo])
    assert_type(app.sync.schedules.create("s", send.job(1), every="5m", paused=True), ScheduleInfo)
    assert_type(await app.schedules.run("s"), JobHandle[Any])


async def http_jobs() -> None:
    task = call(app)
    handle = await task.enqueue(HttpCall(method="GET", url="https://example.com"))
    assert_type(await handle.result(), HttpResult)
