"""The app of `bench.routed`: carriers and routes come from HEADWAY_* variables, for the worker and the producer."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from bench.inside.tallyfile import map_tally
from headway import Headway

FOLDER: Final = "BENCH_ROUTED_FOLDER"
CAPACITY: Final = "BENCH_ROUTED_CAPACITY"
_state: list[tuple[memoryview[float], memoryview[int]]] = []

app = Headway("bench-routed", concurrency=100, processes=1)


@app.task(name="job")
async def job(number: int, text: str) -> None:
    """Record that this job ran."""
    del text
    if not _state:
        _state.append(map_tally(Path(os.environ[FOLDER]) / f"{os.getpid()}.tally", int(os.environ[CAPACITY])))
    times, counts = _state[0]
    counts[number] += 1
    times[number] = time.monotonic()
