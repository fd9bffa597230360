"""Who hears of a run while it goes on."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Hears of what happens, and of the counts."""

    def step(self, text: str) -> None:
        """Something happened."""
        ...

    def show(self, done: int, total: int) -> None:
        """So many of so many jobs have completed."""
        ...
