"""The file of a tally: `capacity` doubles (monotonic seconds of a job's last run), then `capacity` bytes (its runs)."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def map_tally(path: Path, capacity: int) -> tuple[memoryview[float], memoryview[int]]:
    """Make the file if it is not there and map it; return the times and the counts."""
    with path.open("a+b") as file:
        file.truncate(9 * capacity)
        mapped = memoryview(mmap.mmap(file.fileno(), 9 * capacity))
    return mapped[: 8 * capacity].cast("d"), mapped[8 * capacity :]
