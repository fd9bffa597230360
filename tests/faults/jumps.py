"""Clocks that jump: one file says by how many seconds all processes of a history are ahead."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "clock"


class JumpedClock:
    """The clock of the test's own app."""

    def __init__(self, path: Path) -> None:
        """Take the file; one that is not there yet is made, without a jump."""
        self._path = path
        if not path.exists():
            set_clock(path, 0)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + int(self._path.read_text(encoding="ascii") or 0) * 1000


def set_clock(path: Path, seconds: int) -> None:
    """Set the clocks so many seconds ahead, all at once."""
    beside = path.with_suffix(".new")
    beside.write_text(str(seconds), encoding="ascii")
    beside.replace(path)


def jumped_environ(path: Path) -> dict[str, str]:
    """Return the variables with which a process follows the file."""
    paths = [str(_FOLDER), os.environ.get("PYTHONPATH", "")]
    return {"FAULTS_CLOCK": str(path), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
