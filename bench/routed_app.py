"""The apps of `bench.routed`: with a single carrier, with a route to one of two, and with half of the jobs on each."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.inside.tallyfile import map_tally
from headway import Headway

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = ("unrouted", "one", "half")
KIND: Final = "BENCH_ROUTED_KIND"
URLS: Final = "BENCH_ROUTED_URLS"
FOLDER: Final = "BENCH_ROUTED_FOLDER"
CAPACITY: Final = "BENCH_ROUTED_CAPACITY"
_state: list[tuple[memoryview[float], memoryview[int]]] = []


async def job(number: int, text: str) -> None:
    """Record that this job ran."""
    del text
    if not _state:
        _state.append(map_tally(Path(os.environ[FOLDER]) / f"{os.getpid()}.tally", int(os.environ[CAPACITY])))
    times, counts = _state[0]
    counts[number] += 1
    times[number] = time.monotonic()


def build(kind: str, urls: Sequence[str]) -> tuple[Headway, Any]:
    """Return an app of a kind, and its task."""
    settings: dict[str, Any] = {"url": urls[0]}
    if kind != "unrouted":
        share: Any = "main" if kind == "one" else {"main": 50, "west": 50}
        settings = {"carriers": dict(zip(("main", "west"), urls, strict=True)), "routes": {"default": share}}
    made = Headway(f"bench-routed-{kind}", concurrency=100, processes=1, **settings)
    return made, made.task(name="job")(job)


if KIND in os.environ:
    app, _ = build(os.environ[KIND], os.environ[URLS].split(","))
