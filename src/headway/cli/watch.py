"""Which source files changed: what `headway dev` restarts its worker for."""

from __future__ import annotations

import time
from pathlib import Path


class ChangedFiles:
    """Compares the files' times of change with those seen before; no more than a stat for each.

    Make it before the worker is started: a file seen for the first time counts as changed when it is younger than that,
    or than the last change, since the worker may have read what was there before. It remembers each file that it was
    ever asked for: while a broken file keeps the worker from starting, nobody lists it, and its repair must be seen.
    """

    def __init__(self) -> None:
        self._seen: dict[str, int | None] = {}
        self._since_ns = time.time_ns()

    def __call__(self, files: list[str]) -> list[str]:
        """Return those of the files, and of all earlier ones, that changed, came or went since the last call."""
        changed: list[str] = []
        for file in sorted({*files, *self._seen}):
            now = _changed_ns(file)
            if file in self._seen:
                if self._seen[file] != now:
                    changed.append(file)
            elif now is not None and now > self._since_ns:
                changed.append(file)
            self._seen[file] = now
        if changed:
            self._since_ns = time.time_ns()
        return changed


def _changed_ns(file: str) -> int | None:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return None
