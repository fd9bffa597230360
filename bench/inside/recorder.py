"""Which jobs ran, how often and when: two array elements a job in a file of its own for each worker process.

A recording costs a Python no-op job about a fifth of a microsecond. The file is mapped, so the harness sees it grow
and it survives the process however that ends.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from bench.inside.configuration import read_configuration
from bench.inside.tallyfile import map_tally

SETTINGS: Final = read_configuration()
WORK: Final = SETTINGS.work
_SPIN_SECONDS: Final = 0.001
_state: tuple[memoryview[float], memoryview[int]] | None = None


def _opened() -> tuple[memoryview[float], memoryview[int]]:
    # At the first job, not at import: pools fork after they have imported their tasks.
    global _state  # noqa: PLW0603 - one tally a process
    if _state is None:
        _state = map_tally(Path(SETTINGS.folder) / f"{os.getpid()}.tally", SETTINGS.capacity)
    return _state


def record(number: int) -> None:
    """Record that job `number` ran now."""
    times, counts = _state or _opened()
    counts[number] += 1
    times[number] = time.monotonic()


def _spin() -> None:
    end = time.perf_counter() + _SPIN_SECONDS
    while time.perf_counter() < end:
        pass


async def run(number: int) -> None:
    """Do a job's work on an event loop, as the configuration says, and record it."""
    match WORK:
        case "none":
            pass
        case "sleep":
            await asyncio.sleep(0.001)
        case "cpu":
            _spin()
        case "hold":
            await asyncio.sleep(SETTINGS.hold)
        case other:
            msg = f"no such work: {other}"
            raise ValueError(msg)
    record(number)


def run_blocking(number: int) -> None:
    """Do a job's work in a thread or process, as the configuration says, and record it."""
    match WORK:
        case "none":
            pass
        case "sleep":
            time.sleep(0.001)
        case "cpu":
            _spin()
        case "hold":
            time.sleep(SETTINGS.hold)
        case other:
            msg = f"no such work: {other}"
            raise ValueError(msg)
    record(number)
