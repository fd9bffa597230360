"""What type checkers must refuse. Were one of these lines accepted, its ignore comment would be unused: an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headway import Context, EnqueueCall, Headway, Proceed, Retry, Unique
from headway.http import call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

app = Headway("typed")


@app.task
async def send(user: int, *, template: str = "plain") -> str:
    return f"{user} {template}"


@app.task(name="resize")
def resize(path: str, width: int = 100) -> int:
    return len(path) * width


@app.task
async def with_context(ctx: Context, n: int) -> int:
    return n + ctx.attempt


class Pool: ...


@app.resource
async def pool() -> AsyncIterator[Pool]:
    yield Pool()


async def resources(ctx: Context) -> None:
    text: str = ctx.resource(pool)  # type: ignore[assignment]
    ctx.resource("pool")  # type: ignore[arg-type]
    ctx.resource(Pool)  # type: ignore[arg-type]
    app.resource(Pool)  # type: ignore[arg-type]
    _ = text


async def wrong_call(call: int, proceed: Proceed) -> None: ...


async def no_def(call: EnqueueCall) -> None: ...


def middleware_functions() -> None:
    app.middleware(wrong_call)  # type: ignore[type-var]
    app.on_enqueue(no_def)  # type: ignore[type-var]
    app.task(tags=[1])  # type: ignore[list-item]


async def arguments() -> None:
    await send.enqueue("42")  # type: ignore[arg-type]
    await send.enqueue()  # type: ignore[call-arg]
    await send.enqueue(1, "pro")  # type: ignore[call-arg]
    await send.enqueue(1, template=3)  # type: ignore[arg-type]
    await send.enqueue(1, tempalte="x")  # type: ignore[call-arg]
    await send.options(delay=1).enqueue("42")  # type: ignore[arg-type]
    await with_context.enqueue("x")  # type: ignore[arg-type]
    await resize.enqueue(b"x")  # type: ignore[arg-type]
    send.job("42")  # type: ignore[arg-type]
    send.sync.enqueue("42")  # type: ignore[arg-type]
    send.options(key="k").sync.enqueue(1, "x")  # type: ignore[call-arg]
    await send("42")  # type: ignore[arg-type]
    resize(3)  # type: ignore[arg-type]


async def results() -> None:
    number: int = await (await send.enqueue(1)).result()  # type: ignore[assignment]
    text: str = send.sync.enqueue(1).result(timeout=b"soon")  # type: ignore[arg-type]
    await send.enqueue(1).result()  # type: ignore[attr-defined]
    _ = number, text


def options() -> None:
    send.options(delay=b"1h")  # type: ignore[arg-type]
    send.options(at=timedelta(1))  # type: ignore[arg-type]
    send.options(prio=3)  # type: ignore[call-arg]
    send.options(headers={"a": 1})  # type: ignore[dict-item]
    Headway("x", leese=3)  # type: ignore[call-arg]
    Headway("x", concurrency="many")  # type: ignore[arg-type]
    app.task(run_in="greenlet")  # type: ignore[call-overload]
    Unique("sometimes")  # type: ignore[arg-type]
    Retry(max_attempts="3")  # type: ignore[arg-type]


def schedules_on_functions() -> None:
    @app.every(timedelta(minutes=1))  # type: ignore[type-var]
    def not_a_task() -> None: ...

    _ = not_a_task


async def schedules_at_run_time() -> None:
    await app.schedules.create("s", send, every="5m")  # type: ignore[arg-type]
    await app.schedules.create("s", send.job("x"), every="5m")  # type: ignore[arg-type]
    await app.schedules.create("s", send.job(1), interval="5m")  # type: ignore[call-arg]
    await app.schedules.change("s", paused=True)  # type: ignore[call-arg]


async def http_jobs() -> None:
    task = call(app)
    await task.enqueue("https://example.com")  # type: ignore[arg-type]
