"""headway.testing: the inline app, the carrier that fails on request, waiting for states, the plugin."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest

from headway import Context, Headway, JobState, Retry
from headway.brokers.base import BrokerSettings, Carrier, Progress
from headway.brokers.url import from_url, pulled
from headway.codec import Codec
from headway.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    DeclarationError,
    HeadwayError,
    JobFailedError,
    ResultTimeoutError,
)
from headway.job import NewJob, WorkerId, new_job_id
from headway.runtime.worker import Worker
from headway.testing import FakeClock, FakeContext, FaultyBroker, RandomFaults, inline, inline_sync, wait_for
from headway.testing.wrapper import CarrierWrapper, Verb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from headway.testing.plugin import InlineFactory

app = Headway("inline", url="redis://127.0.0.1:1/0")  # a carrier that is not there: the tests have their own
gate: dict[str, Any] = {}


@app.task(name="double")
async def double(n: int) -> int:
    return n * 2


@app.task(name="twice")
async def twice(n: int) -> int:
    inner = await double.enqueue(n)
    return await inner.result(timeout=10) * 2


@app.task(name="from_thread")
def from_thread(n: int) -> int:
    return double.sync.enqueue(n).result(timeout=10)


@app.task(name="flaky", retry=Retry(max_attempts=4, initial=10, factor=2, jitter=0))
async def flaky(ctx: Context, until: int) -> int:
    if ctx.attempt < until:
        msg = f"attempt {ctx.attempt}"
        raise ConnectionError(msg)
    return ctx.attempt


@app.task(name="hang")
async def hang() -> None:
    gate["entered"].set()
    await asyncio.Event().wait()


@app.every(timedelta(minutes=5), name="tick")
@app.task(name="tidy")
def tidy() -> None: ...


async def test_jobs_run_when_they_are_told_to_and_in_order() -> None:
    async with inline(app) as box:
        jobs = [await double.enqueue(n) for n in range(3)]
        assert [job.state for job in await box.jobs()] == [JobState.READY] * 3
        assert await box.run_until_idle() == 3
        assert [await job.result() for job in jobs] == [0, 2, 4]
        assert [(seen.id, seen.args, seen.result) for seen in await box.jobs(double)] == [
            (job.id, (n,), n * 2) for n, job in enumerate(jobs)
        ]
        assert await box.run_until_idle() == 0


async def test_waiting_for_a_result_runs_what_it_needs() -> None:
    async with inline(app) as box:
        assert await (await double.enqueue(1)).result() == 2
        assert await (await twice.enqueue(1)).result() == 4
        assert await (await from_thread.enqueue(5)).result() == 10
        assert len(await box.jobs(state=JobState.SUCCEEDED)) == 5


async def test_waiting_for_what_cannot_run_ends_at_once() -> None:
    async with inline(app):
        job = await double.options(delay=3600).enqueue(1)
        with pytest.raises(ResultTimeoutError, match="still scheduled"):
            await job.result()


async def test_delays_and_retries_follow_the_clock() -> None:
    async with inline(app) as box:
        later = await double.options(delay=60).enqueue(1)
        assert await box.run_until_idle() == 0
        box.clock.advance(timedelta(seconds=60))
        assert await box.run_until_idle() == 1
        assert await later.status() is JobState.SUCCEEDED
        job = await flaky.enqueue(3)
        start = box.clock.now_ms()
        assert await box.run_until_idle(skip_delays=True, raise_errors=False) == 3
        assert box.clock.now_ms() - start == 30_000
        assert await job.result() == 3
        assert [str(error) for error in box.errors] == ["attempt 1", "attempt 2"]
        assert [error.message for error in (await box.jobs(flaky))[0].errors] == ["attempt 1", "attempt 2"]


async def test_an_error_of_a_handler_is_raised_where_the_test_sees_it() -> None:
    async with inline(app) as box:
        job = await flaky.enqueue(9)
        with pytest.raises(ConnectionError, match="attempt 1") as raised:
            await box.run_until_idle()
        assert raised.value.__notes__ == [f"raised by job {job.id}"]
        assert await job.status() is JobState.SCHEDULED


async def test_a_job_of_a_task_that_is_gone_is_seen_as_an_error() -> None:
    other = Headway("inline")
    async with inline(other) as box:
        payload = Codec().encode_call("gone", [], {})
        await other.accept(NewJob(new_job_id(), "gone", "q", payload))
        with pytest.raises(JobFailedError, match="UnknownTask: no task 'gone'"):
            await box.run_until_idle()


async def test_a_test_that_hangs_ends_and_its_job_is_handed_back() -> None:
    gate["entered"] = asyncio.Event()
    async with inline(app) as box:
        job = await hang.enqueue()
        with pytest.raises(TimeoutError, match=r"after 0\.05 s"):
            await box.run_until_idle(timeout=0.05)
        assert gate["entered"].is_set()
        assert await job.status() is JobState.READY


async def test_schedules_fire_by_the_clock() -> None:
    async with inline(app) as box:
        assert await box.fire_schedules() == 0
        box.clock.advance(timedelta(minutes=5))
        assert await box.fire_schedules() == 1
        assert await box.fire_schedules() == 0
        assert await box.run_until_idle() == 1
        assert [job.state for job in await box.jobs("tidy")] == [JobState.SUCCEEDED]


async def test_the_app_gets_back_what_it_had() -> None:
    kept = app.clock, app.portal
    with pytest.raises(RuntimeError, match="of the test"):  # noqa: PT012 - the block is what is left
        async with inline(app):
            assert app.clock is not kept[0]
            msg = "of the test"
            raise RuntimeError(msg)
    assert (app.clock, app.portal) == kept
    with pytest.raises(HeadwayError, match="not open"):
        await double.enqueue(1)


async def test_an_app_that_is_open_stays_open(tmp_path: Path) -> None:
    own = Headway("own", url=f"sqlite:///{tmp_path}/own.db")

    @own.task(name="t")
    async def t() -> None: ...

    async with own:
        outside = await t.enqueue()
        async with inline(own) as box:
            await t.enqueue()
            assert len(await box.jobs()) == 1
        assert await outside.status() is JobState.READY
        assert await asyncio.to_thread(lambda: t.sync.enqueue().status()) is JobState.READY


async def test_queues_that_only_an_option_names_are_served_and_paused_ones_are_not() -> None:
    async with inline(app) as box:
        await double.options(queue="rare").enqueue(1)
        assert await box.run_until_idle() == 1
        await app.carrier.pause("rare")
        await double.options(queue="rare").enqueue(1)
        assert await box.run_until_idle() == 0
        assert len(await box.jobs(queue="rare")) == 2


def test_blocking_code_has_a_twin() -> None:
    clock = FakeClock()
    with inline_sync(app, clock=clock) as box:
        assert box.clock is clock
        job = double.sync.enqueue(2)
        assert box.run_until_idle() == 1
        assert job.result() == 4
        assert from_thread.sync.enqueue(1).result() == 2
        flaky.sync.enqueue(9)
        with pytest.raises(ConnectionError):
            box.run_until_idle()
        assert len(box.jobs()) == 4
        assert len(box.errors) == 1
        box.faults.fail_next("enqueue")
        with pytest.raises(BrokerUnavailableError):
            double.sync.enqueue(1)
        clock.advance(timedelta(hours=1))
        assert box.fire_schedules() == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "headway-portal"]


async def test_faults_before_and_after_the_write() -> None:
    async with inline(app) as box:
        box.faults.fail_next("enqueue", when="before")
        box.faults.fail_next("enqueue", when="after")
        for stored in (0, 1):
            with pytest.raises(BrokerUnavailableError, match="injected fault: enqueue failed"):
                await double.enqueue(1)
            assert len(await box.jobs()) == stored
        await double.enqueue(1)
        assert (box.faults.calls["enqueue"], box.faults.faults["enqueue"], box.faults.pending) == (3, 2, [])


async def test_an_outcome_is_settled_in_spite_of_faults_and_only_once() -> None:
    async with inline(app) as box:
        job = await double.enqueue(1)
        box.faults.fail_next("settle", when="before")
        box.faults.fail_next("settle", when="after")
        assert await box.run_until_idle() == 1
        assert box.faults.faults["settle"] == 2
        assert await job.result() == 2


async def test_other_errors_and_delays() -> None:
    async with inline(app) as box:
        box.faults.fail_next("cancel", error=BrokerRefusedError("disk full"), times=2)
        job = await double.enqueue(1)
        for _ in range(2):
            with pytest.raises(BrokerRefusedError, match="disk full"):
                await job.cancel()
        box.faults.delay("get", 0.02)
        before = time.monotonic()
        await job.status()
        assert time.monotonic() - before >= 0.02
        with pytest.raises(ValueError, match="no call 'enqeue'"):
            box.faults.fail_next("enqeue")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no call"):
            box.faults.delay("x", 1)  # type: ignore[arg-type]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Carrier]:
    async with from_url(f"sqlite:///{tmp_path}/faults.db", BrokerSettings("t"), clock=FakeClock()) as store:
        yield pulled(store)


async def faults_of(store: Carrier, plan: RandomFaults) -> str:
    faulty, seen = FaultyBroker(store, plan), ""
    for _ in range(100):
        job = NewJob(new_job_id(), "t", "q", b"")
        try:
            await faulty.enqueue([job])
            seen += "."
        except BrokerUnavailableError:
            (record,) = await store.get([job.id])
            seen += "a" if record else "b"
    assert faulty.faults["enqueue"] == 100 - seen.count(".")
    return seen


async def test_the_same_seed_gives_the_same_faults(store: Carrier) -> None:
    one = await faults_of(store, RandomFaults(seed=1, rate=0.3))
    assert one == await faults_of(store, RandomFaults(seed=1, rate=0.3))
    assert one != await faults_of(store, RandomFaults(seed=2, rate=0.3))
    assert set(one) == {".", "a", "b"}
    assert set(await faults_of(store, RandomFaults(seed=1, rate=1, when=("after",)))) == {"a"}
    assert set(await faults_of(store, RandomFaults(seed=1, rate=1, verbs=("settle",)))) == {"."}


async def test_streams_pass_through_and_break_on_request(store: Carrier) -> None:
    faulty = FaultyBroker(store)
    faulty.fail_next("signals")
    with pytest.raises(BrokerUnavailableError):
        await anext(faulty.signals(WorkerId("w")))
    signals = faulty.signals(WorkerId("w"))
    await asyncio.wait_for(anext(signals), 10)
    events = faulty.events()
    await faulty.enqueue([NewJob(new_job_id(), "t", "q", b"")])
    assert (await asyncio.wait_for(anext(events), 10)).kind == "enqueued"
    for stream in (signals, events):
        assert isinstance(stream, AsyncGenerator)
        await stream.aclose()


def test_the_wrapper_has_every_call_of_a_carrier_with_its_signature() -> None:
    calls = {
        name: call
        for name, call in inspect.getmembers(Carrier, inspect.isfunction)
        if not name.startswith("_")
    }
    for name, call in calls.items():
        own = getattr(CarrierWrapper, name)
        assert list(inspect.signature(own).parameters.values()) == list(
            inspect.signature(call).parameters.values()
        ), name
    assert set(get_args(Verb)) == set(calls) - {"close"}


async def working(app: Headway) -> tuple[Worker, asyncio.Task[None]]:
    worker = Worker(app, concurrency=2, grace=0)
    task = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready.wait(), 10)
    return worker, task


async def test_waiting_for_a_state_by_the_carriers_events(tmp_path: Path) -> None:
    own = Headway("waiting", url=f"sqlite:///{tmp_path}/waiting.db")
    entered = asyncio.Event()

    @own.task(name="block")
    async def block() -> None:
        entered.set()
        await asyncio.Event().wait()

    async with own:
        job = await block.enqueue()
        await wait_for(job, JobState.READY)
        with pytest.raises(
            TimeoutError, match=rf"job {job.id} is still ready after 0\.05 s; waited for running"
        ):
            await wait_for(job, JobState.RUNNING, timeout=0.05)
        waiting = asyncio.create_task(wait_for(job, JobState.RUNNING, timeout=20))
        worker, running = await working(own)
        try:
            await waiting
            await asyncio.wait_for(entered.wait(), 10)
            ended = asyncio.create_task(wait_for(job, JobState.CANCELLED, timeout=20))
            await job.cancel()
            await ended
            with pytest.raises(TimeoutError, match="is cancelled: it can no longer become running"):
                await wait_for(job, JobState.RUNNING)
        finally:
            worker.stop()
            await running


async def test_the_fixtures_of_the_plugin(
    headway_inline: InlineFactory, headway_clock: FakeClock, tmp_path: Path
) -> None:
    async with headway_inline(app) as box:
        assert box.clock is headway_clock
        assert abs(headway_clock.now_ms() - time.time() * 1000) < 60_000
        assert await (await double.enqueue(3)).result() == 6
        assert (tmp_path / "inline.db").exists()


# --- FakeContext ------------------------------------------------------------------------------------------------


async def test_a_fake_context_keeps_what_the_handler_tells() -> None:
    ctx = FakeContext(headers={"h": "1"}, task="t", queue="q", attempt=3, crashes=1)
    assert (ctx.task, ctx.queue, ctx.attempt, ctx.crashes, ctx.headers) == ("t", "q", 3, 1, {"h": "1"})
    assert ctx.idempotency_key == f"headway-{ctx.job_id}"
    await ctx.progress(0.5, "half")
    ctx.report(1)
    ctx.log("n is %d", 3)
    ctx.log("bad", level="error")
    assert ctx.reports == [Progress(0.5, "half"), Progress(1.0, "")]
    assert ctx.lines == [("info", "n is 3"), ("error", "bad")]
    with pytest.raises(ValueError, match="progress must be between 0 and 1"):
        ctx.report(2)


def test_a_fake_context_is_cancelled_and_loses_its_lease() -> None:
    ctx = FakeContext()
    assert (ctx.cancel_requested, ctx.lease_held) == (False, True)
    ctx.cancel()
    ctx.lose_lease()
    assert (ctx.cancel_requested, ctx.lease_held) == (True, False)


def test_a_fake_context_gives_the_resources_of_the_test_and_no_others() -> None:
    app = Headway("fake")

    def pool() -> Iterator[str]:
        yield "real"

    def other() -> Iterator[str]:
        yield "real"

    given, missing = app.resource(pool), app.resource(other)
    ctx = FakeContext(resources={given: "fake"}, app=app)
    assert ctx.resource(given) == "fake"
    assert ctx.app is app
    with pytest.raises(DeclarationError, match=r"other'> is not given to this test: FakeContext\(resources"):
        ctx.resource(missing)
    with pytest.raises(RuntimeError, match="there is no app"):
        _ = FakeContext().app
