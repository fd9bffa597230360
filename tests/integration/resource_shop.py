"""An app with middleware, whose resources write down, in the file that an environment variable names, which process does what."""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway import Context, Headway, JobCall, Proceed, Resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BOOK = Path(os.environ.get("RESOURCE_BOOK", os.devnull))
AWAY = BOOK.with_name("away")  # while it is there, the database is not

app = Headway("resource_shop", lease=2, grace=5)
around: ContextVar[str] = ContextVar("around")


def note(line: str) -> None:
    with BOOK.open("a", encoding="utf-8") as book:
        book.write(f"{os.getpid()} {line}\n")


@app.resource
async def db() -> AsyncIterator[str]:
    if AWAY.exists():
        note("try db")
        msg = "the database is away"
        raise ConnectionError(msg)
    note("open db")
    yield f"db of {os.getpid()}"
    note("close db")


@app.resource
def files(resources: Resources) -> Iterator[str]:
    note("open files")
    yield f"files beside the {resources[db]}"
    note("close files")


@app.middleware
async def told(call: JobCall, proceed: Proceed) -> Any:
    around.set(f"{call.task} of {call.headers['tenant']} with the {call.resource(db)}")
    return await proceed()


@app.task(name="on_the_loop")
async def on_the_loop(ctx: Context) -> list[str]:
    return [str(os.getpid()), ctx.resource(db), ctx.resource(files), around.get()]


@app.task(name="in_a_thread")
def in_a_thread(ctx: Context) -> list[str]:
    return [str(os.getpid()), ctx.resource(db), ctx.resource(files), around.get()]


@app.task(name="apart", run_in="process")
async def apart(ctx: Context) -> list[str]:
    return [str(os.getpid()), ctx.resource(db), ctx.resource(files), around.get()]
