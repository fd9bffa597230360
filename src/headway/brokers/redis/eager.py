"""For how long an answer is looked for before anybody sleeps for it.

The answer of a small call is there sooner than a sleeping thread is awake again, in a virtual machine above all: and to
fall asleep and wake up costs as much CPU as to look that long.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

EAGER: Final = 0.0002  # seconds: several times what a script takes for one job

make_way: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))
"""Let another thread or process run between two looks: with one core, the server itself."""
