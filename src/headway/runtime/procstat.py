"""What the kernel says of a process: whether it is frozen, and how much memory it holds.

Linux; elsewhere nothing is known.
"""

from __future__ import annotations

import os
from pathlib import Path


def is_frozen(pid: int) -> bool:
    """Tell whether the process is stopped (SIGSTOP, a debugger): it works on nothing, so its lease must not be kept."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    # proc(5): pid (comm) state ...; comm may hold anything, also parentheses.
    return stat.rpartition(b")")[2].split()[0:1] in ([b"T"], [b"t"])


def resident_mb(pid: int) -> float:
    """Resident memory in MiB; 0 when unknown."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
