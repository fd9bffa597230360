"""What is around runs and before enqueues: what it sees, what it changes, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from headway import Context, Discard, EnqueueCall, Headway, JobCall, JobState, Proceed, Retry, RetryLater
from headway.errors import ArgumentsError, DeclarationError, PartlyAcceptedError
from headway.testing import inline, inline_sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

tenant = contextvars.ContextVar("tenant", default="nobody")


@pytest.fixture
def app() -> Headway:
    return Headway("middleware")


def tasks(app: Headway, function: Callable[[Context], Any], **options: Any) -> list[Any]:
    """Declare the same handler as a coroutine, in a thread and in a process (inline: in a thread)."""

    @app.task(name="on_the_loop", **options)
    async def on_the_loop(ctx: Context) -> Any:
        return function(ctx)

    @app.task(name="in_a_thread", **options)
    def in_a_thread(ctx: Context) -> Any:
        return function(ctx)

    @app.task(name="apart", run_in="process", **options)
    def apart(ctx: Context) -> Any:
        return function(ctx)

    return [on_the_loop, in_a_thread, apart]


# --- around runs ------------------------------------------------------------------------------------------------


async def test_it_sees_the_run_and_what_the_handler_returned(app: Headway) -> None:
    seen: list[tuple[Any, ...]] = []

    @app.middleware
    async def look(call: JobCall, proceed: Proceed) -> Any:
        value = await proceed()
        headers = dict(call.headers)
        seen.append((call.job_id, call.task, call.queue, call.attempt, headers, call.tags, call.args, dict(call.kwargs), value))  # fmt: skip
        return value

    @app.task(name="add", queue="sums", tags=["billing", "fast"])
    async def add(_ctx: Context, a: int, *, b: int) -> int:
        return a + b

    async with inline(app) as box:
        job = await add.options(headers={"h": "1"}).enqueue(1, b=2)
        await box.run_until_idle()
        assert await job.result() == 3
    [(job_id, *rest)] = seen
    assert job_id == job.id
    assert rest == ["add", "sums", 1, {"h": "1"}, ("billing", "fast"), rest[5], {"b": 2}, 3]
    assert list(rest[5]) == [1]


async def test_it_sees_the_exception_of_each_kind_of_handler_and_how_the_attempt_ends(app: Headway) -> None:
    seen: list[tuple[Any, ...]] = []

    @app.middleware
    async def look(call: JobCall, proceed: Proceed) -> Any:
        try:
            return await proceed()
        except ValueError as error:
            seen.append((call.task, call.attempt, str(error), call.gives_up(error), call.gives_up(Discard())))
            raise

    def wrong(ctx: Context) -> None:
        msg = f"wrong in {ctx.task}"
        raise ValueError(msg)

    declared = tasks(app, wrong, retry=Retry(max_attempts=2, initial=1, jitter=0))
    async with inline(app) as box:
        for task in declared:
            await task.enqueue()
        assert await box.run_until_idle(skip_delays=True, raise_errors=False) == 6
        assert {job.state for job in await box.jobs()} == {JobState.FAILED}
        assert [job.errors[-1].message for job in await box.jobs()] == [
            f"wrong in {task.name}" for task in declared
        ]
    assert sorted(seen) == sorted(
        (task.name, attempt, f"wrong in {task.name}", attempt == 2, False)
        for task in declared
        for attempt in (1, 2)
    )


async def test_several_nest_in_the_order_of_their_declaration(app: Headway) -> None:
    lines: list[str] = []

    def around(name: str) -> None:
        @app.middleware
        async def one(_call: JobCall, proceed: Proceed) -> Any:
            lines.append(f"into {name}")
            value = await proceed()
            lines.append(f"out of {name}")
            return f"{value} {name}"

    around("first")
    around("second")

    @app.task
    async def handler() -> str:
        lines.append("handler")
        return "handled"

    async with inline(app) as box:
        job = await handler.enqueue()
        await box.run_until_idle()
        assert await job.result() == "handled second first"
    assert lines == ["into first", "into second", "handler", "out of second", "out of first"]


async def test_handlers_see_its_context_variables_and_the_next_job_does_not(app: Headway) -> None:
    @app.middleware
    async def set_tenant(call: JobCall, proceed: Proceed) -> Any:
        if "tenant" in call.headers:
            tenant.set(call.headers["tenant"])  # left behind on purpose
        return await proceed()

    declared = tasks(app, lambda _ctx: tenant.get())
    async with inline(app) as box:
        for task in declared:
            job = await task.options(headers={"tenant": "acme"}).enqueue()
            other = await task.enqueue()
            await box.run_until_idle()
            assert [await job.result(), await other.result()] == ["acme", "nobody"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_it_raises_ends_the_attempt_by_the_policy_of_the_task(app: Headway, when: str) -> None:
    runs: list[int] = []

    @app.middleware
    async def refuse(call: JobCall, proceed: Proceed) -> Any:
        value = await proceed() if when == "after" else None
        if call.attempt == 1:
            msg = "no licence"
            raise PermissionError(msg)
        return value if when == "after" else await proceed()

    @app.task(retry=Retry(max_attempts=2, initial=1, jitter=0))
    async def count(ctx: Context) -> int:
        runs.append(ctx.attempt)
        return ctx.attempt

    async with inline(app) as box:
        job = await count.enqueue()
        assert await box.run_until_idle(skip_delays=True, raise_errors=False) == 2
        assert await job.result() == 2
        [record] = await box.jobs()
        assert [(error.attempt, error.type, error.message) for error in record.errors] == [
            (1, "PermissionError", "no licence")
        ]
    assert runs == ([1, 2] if when == "after" else [2])


async def test_it_may_answer_for_the_handler_and_ask_for_a_later_run(app: Headway) -> None:
    put_off: list[str] = []

    @app.middleware
    async def answer(call: JobCall, proceed: Proceed) -> Any:
        match call.headers.get("do"):
            case "skip":
                return -1
            case "later" if not put_off:
                put_off.append(call.job_id)
                raise RetryLater(5)
            case _:
                return await proceed()

    @app.task
    async def handler() -> int:
        return 1

    async with inline(app) as box:
        skipped = await handler.options(headers={"do": "skip"}).enqueue()
        later = await handler.options(headers={"do": "later"}).enqueue()
        assert await box.run_until_idle(skip_delays=True) == 3
        assert (await skipped.result(), await later.result()) == (-1, 1)


async def test_the_handler_runs_once_in_an_attempt(app: Headway) -> None:
    runs: list[int] = []

    @app.middleware
    async def twice(_call: JobCall, proceed: Proceed) -> Any:
        await proceed()
        return await proceed()

    @app.task(retry=Retry.never())
    async def handler() -> None:
        runs.append(1)

    async with inline(app) as box:
        await handler.enqueue()
        with pytest.raises(RuntimeError, match=r"twice called proceed\(\) twice: a run has one outcome"):
            await box.run_until_idle()
    assert runs == [1]


@pytest.mark.parametrize(
    "kind", [StopIteration, StopAsyncIteration, GeneratorExit, KeyboardInterrupt, SystemExit]
)
async def test_whatever_a_thread_raises_is_the_error_of_its_job(
    app: Headway, kind: type[BaseException]
) -> None:
    @app.middleware
    async def through(_call: JobCall, proceed: Proceed) -> Any:
        return await proceed()

    @app.task(retry=Retry.never())
    def handler() -> None:
        raise kind

    async with inline(app) as box:
        await handler.enqueue()
        await box.run_until_idle(raise_errors=False)
        [job] = await box.jobs()
        assert (job.state, job.errors[-1].type) == (JobState.FAILED, kind.__name__)


@pytest.mark.parametrize("where", ["before", "in the thread", "after"])
async def test_the_time_limit_holds_for_all_of_it(app: Headway, where: str) -> None:
    @app.middleware
    async def hangs(_call: JobCall, proceed: Proceed) -> Any:
        if where == "before":
            await asyncio.Event().wait()
        value = await proceed()
        if where == "after":
            await asyncio.Event().wait()
        return value

    @app.task(timeout=0.05, retry=Retry.never())
    def handler() -> None:
        while where == "in the thread":
            pass

    async with inline(app) as box:
        await handler.enqueue()
        await box.run_until_idle(raise_errors=False)
        [job] = await box.jobs()
        assert (job.state, job.errors[-1].type) == (
            JobState.FAILED,
            "headway.runtime.failure.JobTimeoutError",
        )


async def test_it_has_the_resources_of_the_process(app: Headway) -> None:
    @app.resource
    async def db() -> AsyncIterator[str]:
        yield "the database"

    @app.middleware
    async def session(call: JobCall, proceed: Proceed) -> Any:
        return f"{await proceed()} in a session of {call.resource(db)}"

    @app.task
    async def handler() -> str:
        return "handled"

    async with inline(app) as box:
        job = await handler.enqueue()
        await box.run_until_idle()
        assert await job.result() == "handled in a session of the database"


async def test_it_runs_on_the_loop_also_around_a_thread(app: Headway) -> None:
    threads: list[bool] = []

    @app.middleware
    async def look(_call: JobCall, proceed: Proceed) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        value = await proceed()
        threads.append(threading.current_thread() is threading.main_thread())
        return value

    @app.task
    def handler() -> None:
        threads.append(threading.current_thread() is threading.main_thread())

    async with inline(app) as box:
        await handler.enqueue()
        await box.run_until_idle()
    assert threads == [True, False, True]


async def test_an_app_without_any_has_no_frame_more(app: Headway) -> None:
    callers: list[str] = []

    @app.task
    async def handler() -> None:
        callers.append(sys._getframe(1).f_code.co_qualname)

    async with inline(app) as box:
        await handler.enqueue()
        await box.run_until_idle()
    assert callers == ["Executor.perform"]
    program = (
        "import headway.runtime.worker, headway.push, sys; print('headway.runtime.around' in sys.modules)"
    )
    said = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "False"


def plain(_call: JobCall, proceed: Proceed) -> Awaitable[Any]:
    return proceed()


async def one_parameter(_call: JobCall) -> None: ...


@pytest.mark.parametrize("wrong", [plain, one_parameter, 7])
def test_what_cannot_be_around_a_run_is_refused(app: Headway, wrong: Any) -> None:
    with pytest.raises(DeclarationError, match=r"goes on `async def name\(call: JobCall, proceed: Proceed\)"):
        app.middleware(wrong)


# --- before enqueues --------------------------------------------------------------------------------------------


def stamped(app: Headway) -> list[EnqueueCall]:
    calls: list[EnqueueCall] = []

    @app.on_enqueue
    def stamp(call: EnqueueCall) -> None:
        calls.append(call)
        call.headers["tenant"] = tenant.get()
        if call.headers.get("refuse"):
            msg = "not for this tenant"
            raise PermissionError(msg)

    return calls


async def test_each_way_to_enqueue_is_seen_and_its_headers_changed(app: Headway) -> None:
    @app.every("1h", name="hourly")
    @app.task(name="shop.send", queue="email", tags=["mail"])
    async def send(user: int = 0) -> None: ...

    kept = send.options(priority=3)  # made before anything is called
    calls = stamped(app)
    tenant.set("acme")
    async with inline(app) as box:
        await send.enqueue(1)
        await kept.enqueue(2)
        await send.options(headers={"own": "1"}, queue="slow").enqueue(user=3)
        await app.enqueue_many([send.job(4), send.job(5)])
        await asyncio.to_thread(send.sync.enqueue, 6)
        box.clock.advance(3_600_000)
        assert await box.fire_schedules() == 1
        headers = [job.headers for job in await box.jobs()]
    own = {"own": "1", "tenant": "acme"}
    assert headers == [{"tenant": "acme"}] * 2 + [own] + [{"tenant": "acme"}] * 4
    assert [(call.args, call.kwargs) for call in calls[:3]] == [((1,), {}), ((2,), {}), ((), {"user": 3})]
    assert {(call.task, call.tags) for call in calls} == {("shop.send", ("mail",))}
    assert [call.queue for call in calls[:3]] == ["email", "email", "slow"]
    assert [call.schedule for call in calls] == [None] * 6 + ["hourly"]


async def test_a_refusal_reaches_whoever_enqueues_and_nothing_is_written(app: Headway) -> None:
    @app.task
    async def send(user: int) -> None: ...

    stamped(app)
    refused = send.options(headers={"refuse": "1"})
    async with inline(app) as box:
        with pytest.raises(PermissionError, match="not for this tenant"):
            await refused.enqueue(1)
        with pytest.raises(PermissionError):
            refused.job(1)
        with pytest.raises(PermissionError):
            await asyncio.to_thread(refused.sync.enqueue, 1)
        with pytest.raises(PermissionError):
            await app.enqueue_many([send.job(1), refused.job(1)])
        with pytest.raises(PartlyAcceptedError):
            await app.enqueue_many((refused if n == 1001 else send).job(n) for n in range(1002))
        assert len(await box.jobs()) == 1000


def test_blocking_code_is_seen_too(app: Headway) -> None:
    @app.task
    def send(user: int) -> None: ...

    calls = stamped(app)
    with inline_sync(app) as box:
        send.sync.enqueue(1)
        assert [dict(job.headers) for job in box.jobs()] == [{"tenant": "nobody"}]
    assert len(calls) == 1


async def test_headers_that_are_no_texts_are_refused(app: Headway) -> None:
    @app.on_enqueue
    def stamp(call: EnqueueCall) -> None:
        call.headers["n"] = 1  # type: ignore[assignment] # pyright: ignore[reportArgumentType]

    @app.task
    async def send() -> None: ...

    async with inline(app):
        with pytest.raises(ArgumentsError, match="header 'n' must be a text"):
            await send.enqueue()


def test_a_declared_schedule_is_checked_without_a_call(app: Headway) -> None:
    calls = stamped(app)

    @app.every("1h")
    @app.task
    async def send() -> None: ...

    assert calls == []


async def no_def(call: EnqueueCall) -> None: ...


def two_parameters(call: EnqueueCall, more: int) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (no_def, "goes on a def, and no_def is an async def"),
        (two_parameters, r"goes on `def name\(call: EnqueueCall\) -> None`, not on two_parameters"),
        (7, "not on 7"),
    ],
)
def test_what_cannot_be_called_before_an_enqueue_is_refused(app: Headway, wrong: Any, told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        app.on_enqueue(wrong)


# --- tags -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", ["billing", [7], ["a,b"], [""], 7])
def test_tags_are_a_list_of_names(app: Headway, tags: Any) -> None:
    with pytest.raises(DeclarationError, match=r"task 'send': (tags must be a list of texts|tags: tag name)"):
        app.task(name="send", tags=tags)(no_def)
