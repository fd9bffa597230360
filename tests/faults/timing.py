"""Promise 5, timed: when the jobs of a worker that was killed run again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Death(Struct, frozen=True):
    pids: frozenset[int]
    at_ms: int
    within_ms: int


class Deaths:
    """Workers that were killed, and how soon what they ran must run again."""

    def __init__(self) -> None:
        """None yet."""
        self._deaths: list[_Death] = []

    def note(self, pids: Sequence[int], *, within: float) -> None:
        """Note workers that are killed now; `within` is seconds."""
        now = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000
        self._deaths.append(_Death(frozenset(pids), now, round(within * 1000)))

    def late(self, lines: Sequence[dict[str, Any]]) -> list[str]:
        """Say which runs that a death cut off were begun again too late."""
        by_job: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            by_job.setdefault(line["job"], []).append(line)
        return [
            f"{job} ran on worker {sorted(death.pids)}, and {took} ms after its death again, not within {death.within_ms}"
            for death in self._deaths
            for job, mine in by_job.items()
            if (took := _took(death, mine)) is not None and took > death.within_ms
        ]


def _took(death: _Death, lines: Sequence[dict[str, Any]]) -> int | None:
    """Return the milliseconds from the death to the next run of a job that it cut off; None: it cut off none."""
    before = [line for line in lines if line["at_ms"] <= death.at_ms]
    last = max(before, key=lambda line: line["at_ms"], default=None)
    if last is None or last["what"] != "start" or last.get("worker") not in death.pids:
        return None
    later = [line["at_ms"] for line in lines if line["what"] == "start" and line["at_ms"] > death.at_ms]
    return min(later) - death.at_ms if later else None
