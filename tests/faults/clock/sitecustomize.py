"""Put in front of PYTHONPATH, this lets a test set the wall clock of a process: `FAULTS_CLOCK` names a file with seconds.

Time that passes (time.monotonic) is left alone, as by a real jump.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _jump(path: str) -> None:
    real_ns: Callable[[], int] = time.time_ns

    def ahead_ns() -> int:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - imported by nothing but the interpreter's start
            return real_ns() + int(file.read() or 0) * 1_000_000_000

    time.time_ns = ahead_ns
    time.time = lambda: ahead_ns() / 1e9


if path := os.environ.get("FAULTS_CLOCK"):
    _jump(path)
