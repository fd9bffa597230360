"""What push costs: the creation of a task and the guard of a job, at a steady rate, with latency added each way.

`python -m bench.push [--rate 200] [--latency 0.005] [--seconds 10] [--rounds 3] [--guards ...] [--out FILE]`

An open load: jobs are enqueued at their times whether or not earlier ones are done. Creation is the whole call of
`task.enqueue`, from the producer through the latency to the emulator and back. Guard is what it adds to a job in the
receiver: taking the lease and storing the outcome, both behind the latency (a SQLite file has none). Every job is
checked: it ran once and is succeeded in the guard. Rounds take turns over the stores; figures are the medians of the
rounds.
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
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.figures import percentile
from bench.machine import describe_machine
from bench.pushed.scene import GUARDS, scene, secret
from headway import Headway, JobState

if TYPE_CHECKING:
    from bench.pushed.scene import Scene

CREATION_TARGET: Final = 0.100  # seconds, p95
GUARD_TARGET: Final = 0.050
_WARM: Final = 100  # jobs before the measured ones: connections, imports, the queue itself
_STILL: Final = 30.0  # seconds without a job after which the round is given up


def app_on(place: Scene, guard: str) -> tuple[Headway, Any]:
    """Return the producer's app and its task; the receiver's has the same names."""
    app = Headway("bench-push", url=place.url, guard=guard, target=place.target, push_secret=secret())

    @app.task(name="note")
    async def note() -> None: ...

    return app, note


async def load(note: Any, rate: float, count: int) -> tuple[list[str], list[float], dict[str, int]]:  # noqa: ANN401 - a task
    """Enqueue at the rate; return the ids, how long each call took (seconds), and when each began (ns since 1970)."""
    ids: list[str] = []
    took: list[float] = []
    began_ns: dict[str, int] = {}

    async def one() -> None:
        began, began_at = time.perf_counter(), time.time_ns()
        handle = await note.enqueue()
        took.append(time.perf_counter() - began)
        ids.append(handle.id)
        began_ns[handle.id] = began_at

    start = time.perf_counter()
    calls = []
    for number in range(count):
        if (wait := start + number / rate - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        calls.append(asyncio.create_task(one()))
    await asyncio.gather(*calls)
    return ids, took, began_ns


async def until_handled(place: Scene, count: int) -> None:
    """Wait until so many jobs were seen by handlers."""
    before, changed = -1, time.monotonic()
    while (seen := len({job for job, _ in place.started()})) < count:
        if seen != before:
            before, changed = seen, time.monotonic()
        elif time.monotonic() - changed > _STILL:
            msg = f"{seen} of {count} jobs ran, and no other for {_STILL:g} s"
            raise RuntimeError(msg)
        await asyncio.sleep(0.1)


async def check(place: Scene, ids: list[str]) -> list[str]:
    """Say what is wrong: jobs that ran not once, or that are not succeeded."""
    runs = Counter(job for job, _ in place.started())
    wrong = [f"{job} ran {runs[job]} times" for job in ids if runs[job] != 1]
    app, _ = app_on(place, place.direct_guard)
    async with app:
        deadline = time.monotonic() + _STILL
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            while True:
                records = await app.carrier.get([app.job(job).id for job in part])
                open_ = [
                    job
                    for job, record in zip(part, records, strict=True)
                    if record is None or record.state is not JobState.SUCCEEDED
                ]
                if not open_ or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.1)
            wrong += [f"{job} is not succeeded" for job in open_]
    return wrong


async def measure(place: Scene, rate: float, seconds: float) -> dict[str, Any]:
    """Load the scene and return the figures, in seconds."""
    app, note = app_on(place, place.guard)
    count = round(rate * seconds)
    async with app:
        warm, _, _ = await load(note, rate, _WARM)
        await until_handled(place, len(warm))
        ids, creation, began = await load(note, rate, count)
    await until_handled(place, len(warm) + len(ids))
    wrong = await check(place, [*warm, *ids])
    at = dict(reversed(place.started()))  # the first run of each
    start = [(at[job] - began[job]) / 1e9 for job in ids]
    times = place.guard_times()
    by_kind = {kind: dict(calls) for kind, calls in times.items()}
    measured = set(ids)
    guard = [by_kind["begin"][job] + by_kind["settle"][job] for job in measured if job in by_kind["settle"]]
    series = {
        "creation": creation,
        "guard": guard,
        "begin": [took for job, took in times["begin"] if job in measured],
        "settle": [took for job, took in times["settle"] if job in measured],
        "start": start,
    }
    figures: dict[str, Any] = {
        f"{name}_{label}": percentile(values, share)
        for name, values in series.items()
        for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return {**figures, "jobs": len(ids), "wrong": wrong}


def medians(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Return the median of each figure over the rounds."""
    return {
        name: statistics.median(figures[name] for figures in rounds)
        for name in rounds[0]
        if name not in {"jobs", "wrong"}
    }


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the medians as a Markdown table, in milliseconds."""
    shown = (
        "creation_p50",
        "creation_p95",
        "begin_p95",
        "settle_p95",
        "guard_p50",
        "guard_p95",
        "start_p50",
        "start_p95",
    )
    lines = [
        f"| guard | {' | '.join(name.replace('_', ' ') for name in shown)} | ran once |",
        "|---" * 10 + "|",
    ]
    for guard, rounds in results.items():
        figures = medians(rounds)
        once = "all" if not any(one["wrong"] for one in rounds) else "NO"
        lines.append(f"| {guard} | {' | '.join(f'{figures[name] * 1000:.1f}' for name in shown)} | {once} |")
    return "\n".join(lines)


def met(results: dict[str, list[dict[str, Any]]]) -> bool:
    """Tell whether both targets are met on every store, and every job ran once."""
    return all(
        medians(rounds)["creation_p95"] < CREATION_TARGET
        and medians(rounds)["guard_p95"] < GUARD_TARGET
        and not any(one["wrong"] for one in rounds)
        for rounds in results.values()
    )


def main() -> int:
    """Measure, print, write; 1 when a target is missed or a job did not run once."""
    parser = argparse.ArgumentParser(prog="python -m bench.push", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0, help="jobs a second")
    parser.add_argument("--latency", type=float, default=0.005, help="seconds, each way")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guards", default=",".join(GUARDS))
    parser.add_argument("--faults", help="of the emulator, such as duplicates=0.05")
    parser.add_argument("--out", type=Path, help="write all figures here, as JSON")
    given = parser.parse_args()
    # Neither the user's settings nor their variables.
    with tempfile.NamedTemporaryFile(suffix=".toml") as empty:
        for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
            del os.environ[name]
        os.environ["HEADWAY_CONFIG"] = empty.name
        results: dict[str, list[dict[str, Any]]] = {guard: [] for guard in given.guards.split(",")}
        for number in range(given.rounds):
            for guard, rounds in results.items():
                with scene(guard, given.latency, given.faults) as place:
                    figures = asyncio.run(measure(place, given.rate, given.seconds))
                rounds.append(figures)
                print(
                    f"round {number + 1}, {guard}: creation p95 {figures['creation_p95'] * 1000:.1f} ms, "
                    f"guard p95 {figures['guard_p95'] * 1000:.1f} ms, {len(figures['wrong'])} wrong",
                    file=sys.stderr,
                )
    settings = {
        "rate": given.rate,
        "latency": given.latency,
        "seconds": given.seconds,
        "faults": given.faults,
    }
    if given.out is not None:
        report = {
            "machine": describe_machine(),
            **settings,
            "rounds": results,
            "medians": {k: medians(v) for k, v in results.items()},
        }
        given.out.write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")
    print(
        f"{given.rate:g} jobs/s, {given.latency * 1000:g} ms each way, ms, medians of {given.rounds} rounds\n"
    )
    print(table(results))
    return 0 if met(results) else 1


if __name__ == "__main__":
    sys.exit(main())
