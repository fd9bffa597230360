"""What the dashboard's pages cost with many jobs, while people look and workers drain.

`python -m bench.dashboard [--jobs 1000000] [--carrier sqlite,redis] [--viewers 20] [--seconds 10] [--out FILE]`

A store is filled with jobs that wait in queues which nobody serves; a server and a worker process run. In turns, the
worker drains a further queue with nobody looking, and with so many viewers, each of whom asks for a page a second.
The time of a page is from the request to the last byte, on loopback; the drain rate is what the carrier counts.
A page whose p95 reaches the target, or one that is not answered with 200, fails the run, and so does a job that did not
succeed once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from bench.environments import ROOT
from bench.figures import percentile
from bench.machine import describe_machine
from headway import Headway
from headway.job import JobState
from tests.servers import RedisServer, free_port
from tests.servers.process import ServerProcess, wait_until
from tests.servers.server import answers_200

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET: Final = 0.200  # seconds, p95 of each page
_BATCH: Final = 20_000
_LOOK: Final = 0.1  # seconds
_MAIN: Final = "from headway.cli import main; main()"
_KEPT: Final = ("email", "reports", "images")
_DRAINED: Final = "exports"
PAGES: Final = (
    "/",
    "/?span=2d",
    "/jobs",
    "/jobs?state=succeeded",
    "/jobs?queue=email",
    "/queues",
    "/failures",
    "/schedules",
    "/workers",
    "/routes",
    "/audit",
    "/keys",
)
_SOURCE: Final = """
import os
from headway import Headway
app = Headway("bench-pages", url=os.environ["BENCH_URL"], access=os.environ["BENCH_ACCESS"])

@app.task(name="note")
async def note(number: int, text: str) -> None: ...
"""


class Scene:
    """A store, a server and a worker for one carrier."""

    def __init__(self, stack: ExitStack, carrier: str, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/jobs.db"
        if carrier == "redis":
            server = RedisServer(appendonly=True)
            server.start()
            stack.callback(server.close)
            self.url = server.url
        (folder / "bench_pages.py").write_text(_SOURCE, encoding="utf-8")
        self.port = free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": f"{folder}:{ROOT / 'src'}",
            "BENCH_URL": self.url,
            "BENCH_ACCESS": f"sqlite:///{folder}/access.db",
        }
        python = (sys.executable, "-c", _MAIN)
        app = "bench_pages:app"
        self.server = ServerProcess(
            (*python, "server", app, "--port", str(self.port)), folder / "server.log", environment=environment
        )
        self.worker = ServerProcess(
            (*python, "worker", app, "--processes", "1", "--queues", _DRAINED),
            folder / "worker.log",
            environment=environment,
        )
        stack.callback(self.server.stop)
        stack.callback(self.worker.stop)

    @property
    def base(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self.port}"

    def app(self) -> tuple[Headway, Any]:
        """Return the app and its task, as the worker has them."""
        app = Headway("bench-pages", url=self.url)

        @app.task(name="note")
        async def note(number: int, text: str) -> None: ...

        return app, note


async def fill(place: Scene, jobs: int, queues: Sequence[str]) -> None:
    """Enqueue so many jobs, over these queues."""
    app, note = place.app()
    async with app:
        for start in range(0, jobs, _BATCH):
            some = range(start, min(jobs, start + _BATCH))
            await app.enqueue_many(
                [note.options(queue=queues[n % len(queues)]).job(n, "a mail to somebody") for n in some]
            )


async def succeeded(app: Headway) -> int:
    """Count them."""
    return sum(one.counts.get(JobState.SUCCEEDED, 0) for one in await app.carrier.counts([_DRAINED]))


async def drained(place: Scene, jobs: int, viewers: int, times: dict[str, list[float]]) -> float:
    """Let the worker drain so many jobs while people look; return jobs a second."""
    app, _ = place.app()
    async with app:
        await app.carrier.pause(_DRAINED)
        before = await succeeded(app)
        await fill(place, jobs, [_DRAINED])
        await app.carrier.resume(_DRAINED)
        begin, over = time.monotonic(), asyncio.Event()
        people = [asyncio.create_task(look(place, number, over, times)) for number in range(viewers)]
        while (done := await succeeded(app) - before) < jobs:  # noqa: ASYNC110 - the workers are other processes
            await asyncio.sleep(_LOOK)
        took = time.monotonic() - begin
        over.set()
        await asyncio.gather(*people)
        if done != jobs:
            msg = f"{done} of {jobs} jobs succeeded"
            raise RuntimeError(msg)
        return jobs / took


async def look(place: Scene, number: int, over: asyncio.Event, times: dict[str, list[float]]) -> None:
    """Ask for page after page, one a second."""
    async with httpx.AsyncClient(base_url=place.base, timeout=60) as client:
        at = number
        while not over.is_set():
            path = PAGES[at % len(PAGES)]
            at += 1
            begin = time.perf_counter()
            answer = await client.get(path)
            took = time.perf_counter() - begin
            if answer.status_code != 200:  # noqa: PLR2004 - OK
                msg = f"{path}: {answer.status_code} {answer.text[:300]}"
                raise RuntimeError(msg)
            times.setdefault(path, []).append(took)
            await asyncio.sleep(max(0.0, 1 - took))


async def measure(carrier: str, given: argparse.Namespace) -> dict[str, Any]:
    """Measure one carrier."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Scene(stack, carrier, Path(name))
        print(f"{carrier}: filling with {given.jobs:,} jobs", flush=True)
        await fill(place, given.jobs, _KEPT)
        place.server.start()
        await asyncio.to_thread(wait_until, lambda: answers_200(f"{place.base}/healthz"), "the server", 60)
        place.worker.start()
        times: dict[str, list[float]] = {}
        alone: list[float] = []
        watched: list[float] = []
        pace = await drained(place, 20_000, 0, {})  # until both are warm
        jobs = round(pace * given.seconds)
        for _ in range(given.rounds):
            alone.append(await drained(place, jobs, 0, {}))
            watched.append(await drained(place, jobs, given.viewers, times))
        async with httpx.AsyncClient(base_url=place.base, timeout=60) as client:
            sizes = {path: len((await client.get(path)).content) for path in PAGES}
    pages = {
        path: {
            "p50_ms": 1000 * statistics.median(some),
            "p95_ms": 1000 * percentile(some, 0.95),
            "bytes": sizes[path],
            "count": len(some),
        }
        for path, some in times.items()
    }
    return {"pages": pages, "drain": statistics.median(alone), "drain_watched": statistics.median(watched)}


def report(found: dict[str, dict[str, Any]]) -> str:
    """Return the tables."""
    lines: list[str] = []
    for carrier, one in found.items():
        change = one["drain_watched"] / one["drain"] - 1
        rates = f"{one['drain']:,.0f} jobs/s alone, {one['drain_watched']:,.0f} with viewers ({change:+.1%})"
        lines.append(f"\n{carrier}: drains {rates}")
        lines.append(f"{'page':28} {'p50':>9} {'p95':>9} {'KB':>7}")
        lines += [
            f"{path:28} {page['p50_ms']:6.1f} ms {page['p95_ms']:6.1f} ms {page['bytes'] / 1000:7.1f}"
            for path, page in sorted(one["pages"].items())
        ]
    assets = ROOT / "src" / "headway" / "dashboard" / "assets"
    lines.append(f"\nscript and style: {sum(file.stat().st_size for file in assets.iterdir()) / 1000:.1f} KB")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 when a page misses the target."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.dashboard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--carrier", default="sqlite,redis")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    found = {carrier: asyncio.run(measure(carrier, given)) for carrier in given.carrier.split(",")}
    print(report(found))
    if given.out is not None:
        given.out.write_text(
            json.dumps({"machine": describe_machine(), "found": found}, indent=1), encoding="utf-8"
        )
    slow = [
        f"{carrier} {path}"
        for carrier, one in found.items()
        for path, page in one["pages"].items()
        if page["p95_ms"] >= 1000 * TARGET
    ]
    if slow:
        print(f"\np95 of {1000 * TARGET:.0f} ms or more: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
