"""An app whose resources write down, in the file that an environment variable names, which process does what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headway import Context, Headway, Resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BOOK = Path(os.environ.get("RESOURCE_BOOK", os.devnull))
AWAY = BOOK.with_name("away")  # while it is there, the database is not

app = Headway("resource_shop", lease=2, grace=5)


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


@app.task(name="on_the_loop")
async def on_the_loop(ctx: Context) -> list[str]:
    return [str(os.getpid()), ctx.resource(db), ctx.resource(files)]


@app.task(name="in_a_thread")
def in_a_thread(ctx: Context) -> list[str]:
    return [str(os.getpid()), ctx.resource(db), ctx.resource(files)]


@app.task(name="apart", run_in="process")
async def apart(ctx: Context) -> list[str]:
    return [str(os.getpid()), ctx.resource(db), ctx.resource(files)]
