"""What routes cost: the same jobs through an app with one carrier, and one with two, in turns.

`python -m bench.routed [--carrier redis,sqlite] [--rounds 40] [--drains 5] [--jobs 5000] [--out FILE]`

Three apps: `unrouted` has one carrier, `one` has two and a route to the first, `half` a route of 50/50 over both. In
one process they take turns, a slice of jobs each: one by one, 100 at once, in bulk. Then a worker process drains what
each app has, several times. A quotient is that of two slices of one round, a figure the median over the rounds: what
else the machine does meets all of them. The second figure of a way is the CPU time of a job in the process that
enqueues or runs it, which other processes disturb less. Of Redis it is asked as well what CPU time each server has had
for a job, and how many commands. Every job is checked: it ran once.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.machine import describe_machine
from bench.routed_app import CAPACITY, FOLDER, KIND, KINDS, URLS, build
from bench.routed_cpu import Servers
from bench.tally import check_exactly_once, read_tallies, steady_rate, times_of, wait_ran
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

ROOT: Final = Path(__file__).resolve().parents[1]
WAYS: Final = ("single", "concurrent", "bulk", "drain")
BARS: Final = {"one": 0.97, "half": 0.90}
_TEXT: Final = "x" * 200
_AT_ONCE: Final = 100
_PATIENCE: Final = 120.0
_MAIN: Final = "from headway.cli import main; main()"

Rates = dict[str, dict[str, list[float]]]
"""Jobs a second by kind and way, a figure for each round."""


class Producer:
    """One app, and how many jobs it has been given."""

    def __init__(self, app: Any, task: Any) -> None:  # noqa: ANN401 - of one kind or another
        self.app = app
        self.count = 0
        self._task = task

    async def single(self, jobs: int) -> None:
        """Enqueue one by one."""
        for number in self._numbers(jobs // 20):
            await self._task.enqueue(number, _TEXT)

    async def concurrent(self, jobs: int) -> None:
        """Enqueue from 100 coroutines at once."""
        numbers = iter(self._numbers(jobs // 4))

        async def some() -> None:
            for number in numbers:
                await self._task.enqueue(number, _TEXT)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))

    async def bulk(self, jobs: int) -> None:
        """Enqueue in bulk."""
        await self.app.enqueue_many(self._task.job(number, _TEXT) for number in self._numbers(jobs))

    def _numbers(self, count: int) -> range:
        first, self.count = self.count, self.count + count
        return range(first, self.count)


async def _timed(
    call: Callable[[int], Awaitable[None]], jobs: int, producer: Producer
) -> tuple[float, float]:
    """Return jobs a second of wall time, and of CPU time."""
    before, begun, used = producer.count, time.perf_counter(), time.process_time()
    await call(jobs)
    count = producer.count - before
    return count / (time.perf_counter() - begun), count / (time.process_time() - used)


async def enqueue(urls: list[str], rounds: int, jobs: int, rates: Rates, servers: Servers) -> dict[str, int]:
    """Let the apps take turns; return how many jobs each has been given."""
    async with AsyncExitStack() as stack:
        producers: dict[str, Producer] = {}
        for kind in KINDS:
            app, task = build(kind, urls)
            producers[kind] = Producer(await stack.enter_async_context(app), task)
        for number in range(-2, rounds):  # two to get warm
            gc.collect()
            for way in WAYS[:3]:
                for kind in KINDS[number % 3 :] + KINDS[: number % 3]:
                    one = producers[kind]
                    before, done = servers.read(), one.count
                    rate, cpu = await _timed(getattr(one, way), jobs, one)
                    if number >= 0:
                        rates[kind][way].append(rate)
                        rates[kind][f"{way} cpu"].append(cpu)
                        servers.add(kind, "enqueue", before, one.count - done)
        return {kind: one.count for kind, one in producers.items()}


@contextmanager
def _urls(carrier: str) -> Generator[list[str]]:
    with ExitStack() as stack:
        if carrier == "redis":
            options = {"appendfsync": "everysec"}
            servers = [stack.enter_context(RedisServer(appendonly=True, options=options)) for _ in range(2)]
            yield [server.url for server in servers]
        else:
            folder = tempfile.mkdtemp(prefix="headway-routed-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            yield [f"sqlite:///{folder}/{name}.db" for name in ("main", "west")]


def drain(kind: str, urls: list[str], count: int) -> tuple[float, float]:
    """Let a worker run all jobs of an app; return jobs a second, of wall and of CPU time of the worker with its start.

    CheckFailedError when one did not run once.
    """
    with tempfile.TemporaryDirectory(prefix="headway-routed-") as name:
        folder = Path(name)
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HEADWAY_")},
            "PYTHONPATH": str(ROOT),
            KIND: kind,
            URLS: ",".join(urls),
            FOLDER: name,
            CAPACITY: str(count),
        }
        used = _children_cpu()
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", _MAIN, "worker", "bench.routed_app:app", "--processes", "1"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            wait_ran(folder, count, range(count), seconds=_PATIENCE, alive=worker.poll)
        finally:
            worker.terminate()
            worker.wait(30)
        tallies = read_tallies(folder, count)
        check_exactly_once(tallies, range(count))
        return steady_rate(times_of(tallies, range(count))), count / (_children_cpu() - used)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(carrier: str, rounds: int, drains: int, jobs: int) -> dict[str, Any]:
    """Measure on one kind of carrier; return the rates by kind and way, and the quotients to `unrouted`."""
    rates: Rates = {kind: defaultdict(list) for kind in KINDS}
    servers = Servers()
    for number in range(drains):
        with _urls(carrier) as urls:
            servers.connect(urls)
            counts = asyncio.run(enqueue(urls, -(-rounds // drains), jobs, rates, servers))
            for kind in KINDS[number % 3 :] + KINDS[: number % 3]:
                before = servers.read()
                rate, cpu = drain(kind, urls, counts[kind])
                rates[kind]["drain"].append(rate)
                rates[kind]["drain cpu"].append(cpu)
                servers.add(kind, "drain", before, counts[kind])
    quotients = {
        kind: {
            way: statistics.median(
                one / base for one, base in zip(rates[kind][way], rates["unrouted"][way], strict=True)
            )
            for way in rates[kind]
        }
        for kind in BARS
    }
    medians = {kind: {way: statistics.median(some) for way, some in rates[kind].items()} for kind in KINDS}
    return {"rates": medians, "quotients": quotients, "servers": servers.per_job()}


def _print(carrier: str, found: dict[str, Any]) -> None:
    sys.stdout.write(f"{carrier:16}" + "".join(f"{kind:>20}" for kind in KINDS) + "\n")
    for way in [name for one in WAYS for name in (one, f"{one} cpu")]:
        cells = ""
        for kind in KINDS:
            beside = f"{found['quotients'][kind][way]:.3f}" if kind in BARS else ""
            cells += f"{found['rates'][kind][way]:>11,.0f}/s {beside:>6}"
        sys.stdout.write(f"{way:16}{cells}\n")
    for way, kinds in found["servers"].items():
        for kind, each in kinds.items():
            cells = ", ".join(f"{one['cpu_us']:.1f} us and {one['commands']:.3f} commands" for one in each)
            sys.stdout.write(f"of a job's {way:8} {kind:9} each server has had: {cells}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure; exit code 1 when an app with routes is slower than the bar."""
    parser = argparse.ArgumentParser(description="what routes cost")
    parser.add_argument("--carrier", default="redis,sqlite")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--drains", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=5000, help="of a slice in bulk; fewer in the other ways")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"machine": describe_machine()}
    slow = False
    for carrier in given.carrier.split(","):
        found[carrier] = compare(carrier, given.rounds, given.drains, given.jobs)
        _print(carrier, found[carrier])
        quotients = found[carrier]["quotients"]
        slow |= any(quotients[kind][way] < BARS[kind] for kind in BARS for way in WAYS)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1, default=str))
    sys.exit(slow)


if __name__ == "__main__":
    main()
