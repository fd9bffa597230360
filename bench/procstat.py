"""What a tree of processes uses, from /proc; zeros where there is none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a tree of processes. `memory` is in bytes, pages shared between processes counted once in all."""

    processes: int
    memory: int
    cpu: float


def tree_usage(roots: Iterable[int]) -> Usage:
    """Add up the processes below `roots`, those included."""
    parents = _parents()
    tree = set(roots) & parents.keys()
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree |= more
        grown = bool(more)
    return Usage(len(tree), sum(_memory(pid) for pid in tree), sum(_cpu(pid) for pid in tree))


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        fields = _fields(entry)
        if fields:
            found[int(entry.parent.name)] = int(fields[1])
    return found


def _fields(stat: Path) -> list[str]:
    """The fields behind the name, which may itself hold spaces and brackets."""
    try:
        return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _cpu(pid: int) -> float:
    fields = _fields(_PROC / str(pid) / "stat")
    return sum(map(int, fields[11:15])) / _TICKS if fields else 0.0


def _memory(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
