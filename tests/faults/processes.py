"""What the kernel says of processes: children, ends, and signals by pid. Linux."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal


def children(parent: int) -> list[int]:
    """Return the pids whose parent is this process."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and fields[0] != "Z" and int(fields[1]) == parent:
                found.append(int(entry.name))
    return sorted(found)


def alive(pid: int) -> bool:
    """Tell whether the process runs or is stopped, not ended and not a zombie."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in {"Z", "X"}


def stopped(pid: int) -> bool:
    """Tell whether the process is stopped by a signal."""
    return _stat(pid)[:1] == ["T"]


def born(pid: int) -> str:
    """Return when the process started: with the pid, what tells it from another that got its number later."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended takes none."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _stat(pid: int) -> list[str]:
    """Return the fields of proc(5) stat from the state on."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return []
