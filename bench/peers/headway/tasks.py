"""Headway's worker side: `headway worker bench.peers.headway.tasks:app`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from bench.inside.recorder import SETTINGS, record, run
from headway import Context, EnqueueCall, Headway, JobCall, Proceed, Retry, Unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

on_redis = SETTINGS.url.startswith("redis:")
app = Headway(
    "bench",
    url=SETTINGS.url if on_redis else f"sqlite:///{SETTINGS.url}",
    cache=SETTINGS.url if on_redis else "memory://",  # for the limiter
    concurrency=SETTINGS.concurrency,
    queues=SETTINGS.queues,
)


@app.task(name="job")
async def job(number: int, text: str) -> None:
    """The job of every test."""
    await run(number)


@app.task(name="result")
async def result(number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number


@app.task(name="progress")
async def progress(ctx: Context, number: int, text: str) -> None:
    """A job that reports its progress once."""
    ctx.report(0.5, "half")
    record(number)


@app.task(name="unique", unique=Unique("reject", by=["number"]))
async def unique(number: int, text: str) -> None:
    """A unique job."""
    record(number)


@app.task(name="retry", retry=Retry.after(timedelta(milliseconds=1)))
async def retry(ctx: Context, number: int, text: str) -> None:
    """A job whose first attempt fails."""
    if ctx.attempt == 1:
        msg = "first attempt"
        raise RuntimeError(msg)
    record(number)


@app.task(name="limit")
async def limit(number: int, text: str) -> None:
    """A job that asks the rate limiter, which never refuses here."""
    await app.limiter.limit("bench", "1000000/s")
    record(number)


@app.task(name="dict")
async def takes_dict(number: int, record: dict[str, Any]) -> None:
    """A job that carries an object."""
    await run(number)


@app.task(name="nested")
async def takes_nested(number: int, record: dict[str, Any]) -> None:
    """A job that carries an object of objects."""
    await run(number)


@dataclass
class Message:
    """The object as a dataclass."""

    user_id: int
    email: str
    template: str
    locale: str
    subject: str
    amount: float
    reference: str


class MessageStruct(msgspec.Struct):
    """The object as a Struct."""

    user_id: int
    email: str
    template: str
    locale: str
    subject: str
    amount: float
    reference: str


CARRIED: dict[str, Any] = {"dataclass": Message, "struct": MessageStruct}


@app.task(name="dataclass")
async def takes_dataclass(number: int, message: Message) -> None:
    """A job that carries a dataclass."""
    await run(number)


@app.task(name="struct")
async def takes_struct(number: int, message: MessageStruct) -> None:
    """A job that carries a Struct."""
    await run(number)


if SETTINGS.feature == "pydantic":
    # Loaded for its own test alone: the others measure memory and start.
    from pydantic import BaseModel

    class MessageModel(BaseModel):
        """The object as a model of pydantic."""

        user_id: int
        email: str
        template: str
        locale: str
        subject: str
        amount: float
        reference: str

    CARRIED["pydantic"] = MessageModel

    @app.task(name="pydantic")
    async def takes_model(number: int, message: MessageModel) -> None:
        """A job that carries a model."""
        await run(number)


if SETTINGS.feature == "around":
    # Declared for its own test alone: the others measure an app that has none of it.

    @app.resource
    async def pool() -> AsyncIterator[object]:
        """Stand for a pool of connections."""
        yield object()

    @app.middleware
    async def timed(_call: JobCall, proceed: Proceed) -> Any:  # noqa: ANN401 - what the handler returns
        """Do nothing around a run."""
        return await proceed()

    @app.on_enqueue
    def stamp(call: EnqueueCall) -> None:
        """Write one header."""
        call.headers["tenant"] = "bench"

    @app.task(name="around")
    async def around(ctx: Context, number: int, text: str) -> None:
        """A job that uses the resource."""
        ctx.resource(pool)
        record(number)


if SETTINGS.feature == "cron":
    _fires = itertools.count()

    @app.cron("* * * * * *")
    @app.task(name="cron", queue=SETTINGS.queues[0])
    async def cron() -> None:
        """A job of every second."""
        record(next(_fires))
