"""The app of test_spool, its producers, and the files that judge it: `python -m tests.faults.spool_app HOW NAME`.

Settings come from HEADWAY_* variables. A producer enqueues one job after the other, each when the one before was
accepted, until the file `stop` is there, and writes each answer down. What runs writes its queue and number down.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from headway import Context, Headway
from headway.errors import HeadwayError

FOLDER: Final = Path(os.environ.get("SPOOL_TEST_FOLDER", "."))
QUEUES: Final = 8
PAUSE: Final = float(os.environ.get("SPOOL_TEST_PAUSE", "0.025"))  # seconds between two jobs of a producer
COUNT: Final = int(os.environ.get("SPOOL_TEST_COUNT", str(10**9)))  # jobs of a producer

app = Headway(os.environ.get("SPOOL_TEST_APP", "spool"))


@app.task(name="number")
async def number(ctx: Context, queue: str, n: int) -> None:
    """Write down that it ran."""
    note("ran", f"{queue} {n} {ctx.job_id}")


for _queue in range(QUEUES):  # a worker serves the queues of declared tasks

    @app.task(name=f"unused{_queue}", queue=f"q{_queue}")
    async def unused() -> None: ...


def note(file: str, line: str) -> None:
    """Append a line in one write, so that those of several processes do not mix."""
    opened = os.open(FOLDER / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(opened, line.encode() + b"\n")
    finally:
        os.close(opened)


def going_on(n: int) -> bool:
    """Tell whether there is a next job."""
    return n < COUNT and not (FOLDER / "stop").exists()


async def produce(queue: str) -> None:
    """Enqueue from a coroutine."""
    n = 0
    while going_on(n):
        began = time.monotonic()
        try:
            handle = await number.options(queue=queue).enqueue(queue, n)
            note("accepted", f"{queue} {n} {handle.id} {time.monotonic() - began:.3f}")
        except HeadwayError as error:
            note("rejected", f"{queue} {n} {error}")
        n += 1
        await asyncio.sleep(PAUSE)


def produce_blocking(queue: str) -> None:
    """Enqueue from a thread."""
    n = 0
    while going_on(n):
        began = time.monotonic()
        try:
            handle = number.options(queue=queue).sync.enqueue(queue, n)
            note("accepted", f"{queue} {n} {handle.id} {time.monotonic() - began:.3f}")
        except HeadwayError as error:
            note("rejected", f"{queue} {n} {error}")
        n += 1
        time.sleep(PAUSE)


async def main_async(queues: list[str]) -> None:
    """Run producers as coroutines."""
    async with app:
        note("up", queues[0])
        await asyncio.gather(*(produce(queue) for queue in queues))


def main_blocking(queues: list[str]) -> None:
    """Run producers as threads."""
    note("up", queues[0])
    threads = [threading.Thread(target=produce_blocking, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    app.sync.close()


if __name__ == "__main__":
    if sys.argv[1] == "async":
        asyncio.run(main_async(sys.argv[2:]))
    else:
        main_blocking(sys.argv[2:])
