"""Ask the kernel to end this process when its parent dies: no orphan works on jobs that are someone else's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def die_with_parent(parent: int) -> None:
    """Do so where the kernel can (Linux); elsewhere the closed socket ends the process.

    `parent` is the pid of who started us.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # The parent died before the request was made.
        os._exit(1)
