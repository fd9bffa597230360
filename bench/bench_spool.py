"""What a spool costs an enqueue: none, one beside a Redis that answers, and one whose carrier is away.

`python -m bench.bench_spool [SLICES]` starts a Redis of its own. The three take turns in short slices in one process,
so that what else the machine does falls on all alike; the middle of the slices is shown, in microseconds a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from headway import Headway
from tests.servers.redis import RedisServer

LONE: Final = 100  # jobs of a slice, one after the other
MANY: Final = 1000  # and all at once


async def _slice(app: Headway) -> tuple[float, float]:
    """Return the microseconds of a job: enqueued one after the other, and all at once."""
    task: Any = app.find_task("send")
    began = time.perf_counter()
    for number in range(LONE):
        await task.enqueue(number)
    between = time.perf_counter()
    await asyncio.gather(*(task.enqueue(number) for number in range(MANY)))
    ended = time.perf_counter()
    return (between - began) / LONE * 1e6, (ended - between) / MANY * 1e6


async def measure(apps: dict[str, Headway], slices: int) -> dict[str, list[tuple[float, float]]]:
    """Let the apps take turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in apps}
    async with contextlib.AsyncExitStack() as stack:
        for app in apps.values():
            await stack.enter_async_context(app)
            await _slice(app)
        for number in range(slices):
            order = list(apps) if number % 2 else list(reversed(apps))
            for name in order:
                found[name].append(await _slice(apps[name]))
    return found


def _app(url: str, spool: str = "") -> Headway:
    app = Headway("bench", url=url, spool=spool, breaker_errors=1, breaker_pause=600, spool_limit=10_000_000)

    @app.task(name="send")
    def send(number: int) -> None: ...

    return app


def main(slices: int) -> None:
    """Measure and print."""
    logging.getLogger("headway").setLevel(logging.ERROR)
    with RedisServer() as server, tempfile.TemporaryDirectory() as folder:
        apps = {
            "no spool": _app(server.url),
            "spool": _app(server.url, f"sqlite:///{Path(folder) / 'one.db'}"),
            "carrier away": _app("redis://127.0.0.1:1/0", f"sqlite:///{Path(folder) / 'two.db'}"),
        }
        found = asyncio.run(measure(apps, slices))
    base = [statistics.median(one[n] for one in found["no spool"]) for n in (0, 1)]
    for name, all_of in found.items():
        lone, many = (statistics.median(one[n] for one in all_of) for n in (0, 1))
        sys.stdout.write(
            f"{name:<14} one by one {lone:8.1f} us ({lone / base[0]:5.2f})   "
            f"at once {many:7.2f} us ({many / base[1]:5.2f})\n"
        )


if __name__ == "__main__":
    main(int(sys.argv[-1]) if sys.argv[-1].isdecimal() else 40)
