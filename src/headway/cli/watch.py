"""Which source files changed: what `headway dev` restarts its worker for."""

from __future__ import annotations

from pathlib import Path


class ChangedFiles:
    """Compares the files' times of change with those seen before; no more than a stat for each.

    It remembers each file that it was ever asked for: while a broken file keeps the worker from starting, nobody lists
    it, and its repair must be seen.
    """

    def __init__(self) -> None:
        self._seen: dict[str, int | None] = {}

    def __call__(self, files: list[str]) -> list[str]:
        """Return those of the files, and of all earlier ones, that changed, came or went since the last call."""
        changed: list[str] = []
        for file in sorted({*files, *self._seen}):
            now = _changed_ns(file)
            if file in self._seen and self._seen[file] != now:
                changed.append(file)
            self._seen[file] = now
        return changed


def _changed_ns(file: str) -> int | None:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return None
