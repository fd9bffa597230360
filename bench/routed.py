"""What routes cost: the same jobs through an app with one carrier, and one with two, in turns.

`python -m bench.routed [--carrier redis,sqlite] [--rounds 5] [--jobs 20000] [--out FILE]`

Three apps take turns: `unrouted` has one carrier, `one` has two and a route to the first, `half` a route of 50/50 over
both. Each enqueues in three ways (one by one, 100 at once, in bulk), then a worker process drains what it has. Rates
are jobs a second; a quotient is that of the same round, a figure the median over the rounds. Every job is checked: it
ran once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.machine import describe_machine
from bench.routed_app import CAPACITY, FOLDER
from bench.tally import check_exactly_once, read_tallies, steady_rate, times_of, wait_ran
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT: Final = Path(__file__).resolve().parents[1]
KINDS: Final = ("unrouted", "one", "half")
WAYS: Final = ("single cpu", "concurrent cpu", "bulk cpu", "single", "concurrent", "bulk", "drain")
BARS: Final = {"one": 0.97, "half": 0.90}
_TEXT: Final = "x" * 200
_AT_ONCE: Final = 100
_PATIENCE: Final = 120.0
_MAIN: Final = "from headway.cli import main; main()"
_PRODUCE: Final = "from bench.routed import produce; import asyncio, sys; asyncio.run(produce(sys.argv[1:]))"


def settings_of(kind: str, urls: list[str]) -> dict[str, str]:
    """Return the HEADWAY_ variables of one of the three apps."""
    if kind == "unrouted":
        return {"HEADWAY_URL": urls[0]}
    share = '"main"' if kind == "one" else "{ main = 50, west = 50 }"
    return {
        "HEADWAY_CARRIERS": f"main={urls[0]},west={urls[1]}",
        "HEADWAY_ROUTES": f"default = {share}",
    }


class _Timed:
    """A context manager: jobs a second of the clock, and a second of this process's CPU, by the name of the way."""

    def __init__(self, rates: dict[str, float], way: str, count: int) -> None:
        self._rates = rates
        self._way = way
        self._count = count

    def __enter__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._rates[self._way] = self._count / (time.perf_counter() - self._begun[0])
        self._rates[f"{self._way} cpu"] = self._count / (time.process_time() - self._begun[1])


async def produce(counts: list[str]) -> None:
    """Enqueue so many jobs in each way, and print the rates: in a process as cold for one app as another."""
    from bench.routed_app import app, job  # noqa: PLC0415 - the variables decide

    single, concurrent, bulk = map(int, counts)
    rates: dict[str, float] = {}

    async def some(numbers: range) -> None:
        for number in numbers:
            await job.enqueue(number, _TEXT)

    async with app:
        await asyncio.gather(*(job.enqueue(number, _TEXT) for number in range(_AT_ONCE)))  # connections, warm code
        done = _AT_ONCE
        with _Timed(rates, "single", single):
            await some(range(done, done + single))
        done += single
        share = concurrent // _AT_ONCE
        with _Timed(rates, "concurrent", concurrent):
            await asyncio.gather(
                *(some(range(done + n * share, done + (n + 1) * share)) for n in range(_AT_ONCE))
            )
        done += concurrent
        with _Timed(rates, "bulk", bulk):
            await app.enqueue_many(job.job(number, _TEXT) for number in range(done, done + bulk))
    sys.stdout.write(json.dumps(rates))


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


def measure(kind: str, carrier: str, counts: list[int]) -> dict[str, float]:
    """Run one app once on fresh servers or files; return jobs a second by way."""
    total = _AT_ONCE + sum(counts)
    with tempfile.TemporaryDirectory(prefix="headway-routed-") as name, _urls(carrier) as urls:
        folder = Path(name)
        own = {key: value for key, value in os.environ.items() if not key.startswith("HEADWAY_")}
        environment = {
            **own,
            **settings_of(kind, urls),
            "PYTHONPATH": str(ROOT),
            FOLDER: name,
            CAPACITY: str(total),
        }
        told = subprocess.run(
            [sys.executable, "-c", _PRODUCE, *map(str, counts)],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        rates: dict[str, float] = json.loads(told.stdout)
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", _MAIN, "worker", "bench.routed_app:app", "--processes", "1"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            wait_ran(folder, total, range(total), seconds=_PATIENCE, alive=worker.poll)
        finally:
            worker.terminate()
            worker.wait(30)
        tallies = read_tallies(folder, total)
        check_exactly_once(tallies, range(total))
        rates["drain"] = steady_rate(times_of(tallies, range(total)))
        return rates


def compare(carrier: str, rounds: int, counts: list[int]) -> dict[str, Any]:
    """Take turns over the apps; return the rates by kind and way, and the quotients to `unrouted`."""
    rates: dict[str, dict[str, list[float]]] = {kind: {way: [] for way in WAYS} for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS[number % 3 :] + KINDS[: number % 3]:
            for way, rate in measure(kind, carrier, counts).items():
                rates[kind][way].append(rate)
    plain = rates["unrouted"]
    quotients = {
        kind: {
            way: statistics.median(one / base for one, base in zip(rates[kind][way], plain[way], strict=True))
            for way in WAYS
        }
        for kind in BARS
    }
    return {
        "rates": {kind: {way: statistics.median(rates[kind][way]) for way in WAYS} for kind in KINDS},
        "quotients": quotients,
    }


def _print(carrier: str, found: dict[str, Any]) -> None:
    sys.stdout.write(f"{carrier:16}" + "".join(f"{kind:>18}" for kind in KINDS) + "\n")
    for way in WAYS:
        cells = ""
        for kind in KINDS:
            rate = found["rates"][kind][way]
            beside = f"{found['quotients'][kind][way]:.3f}" if kind in BARS else ""
            cells += f"{rate:>10,.0f}/s {beside:>6}"
        sys.stdout.write(f"{way:16}{cells}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure; exit code 1 when an app with routes is slower than the bar."""
    parser = argparse.ArgumentParser(description="what routes cost")
    parser.add_argument("--carrier", default="redis,sqlite")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=40_000, help="in bulk; a tenth of them one by one")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    counts = [given.jobs // 10, given.jobs // 2, given.jobs]
    found: dict[str, Any] = {"machine": describe_machine()}
    slow = False
    for carrier in given.carrier.split(","):
        found[carrier] = compare(carrier, given.rounds, counts)
        _print(carrier, found[carrier])
        quotients = found[carrier]["quotients"]
        slow |= any(one < BARS[kind] for kind in BARS for one in quotients[kind].values())
    if given.out:
        given.out.write_text(json.dumps(found, indent=1, default=str))
    sys.exit(slow)


if __name__ == "__main__":
    main()
