"""Whether this process is a fork of the one that something was made in."""

from __future__ import annotations

import os


class Generation:
    """How often this process was forked on its way here; asking is cheaper than for the pid, which is a system call."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def begin(self) -> None:
        """Count one fork more: called in the child."""
        self.number += 1


generation = Generation()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=generation.begin)


def end_fork(born: int) -> None:
    """End this process when it was forked since the generation `born`: a handler that forks may return twice."""
    if generation.number != born:
        os._exit(0)
