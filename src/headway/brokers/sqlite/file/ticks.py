"""Time that passes on this machine: leases end by it, so that a clock that is set ends none and prolongs none.

All processes of a machine share the count of milliseconds since its start. A lease from before the last start is over:
its holder has died with the machine. Where the start of the machine has no name, leases end by the clock of the jobs.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.clock import Clock

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
OF_CLOCK: Final = 10**12
"""From here on the end of a lease is an instant of the clock of the jobs: no machine runs for 31 years."""


@cache
def boot() -> str:
    """Return the name of the machine's last start; empty where it has none."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def tick_ms(clock: Clock) -> int:
    """Return the present in milliseconds of passed time. A clock that a test moves passes time itself."""
    elapsed = getattr(clock, "elapsed_ms", None)
    if elapsed is not None:
        return int(elapsed())
    return machine_ms() if boot() else clock.now_ms()


def machine_ms() -> int:
    """Return what all processes of this machine count alike, whatever clock the jobs live by."""
    return time.monotonic_ns() // 1_000_000
