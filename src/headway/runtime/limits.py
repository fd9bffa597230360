"""How many processors this process may use: the least of the machine's, the affinity mask and the container's quota."""

from __future__ import annotations

import math
import os
from pathlib import Path


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the processors to count on, at least 1; a quota of 1.5 counts as 2."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        count = os.cpu_count() or 1
    quota = _cgroup_v2(root) or _cgroup_v1(root)
    return max(1, min(count, math.ceil(quota)) if quota else count)


def _cgroup_v2(root: Path) -> float | None:
    try:
        limit, period = (root / "cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _cgroup_v1(root: Path) -> float | None:
    try:
        limit = int((root / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((root / "cpu/cpu.cfs_period_us").read_text(encoding="ascii"))
        return limit / period if limit > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
