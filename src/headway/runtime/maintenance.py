"""The housekeeping that any worker does for all: due jobs, expiry, the jobs of dead workers, old records."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.brokers.base import PullBroker

_log = logging.getLogger("headway.worker")
_LONGEST: Final = 600.0  # seconds without a look; an idle worker claims at due times by itself
_SHORTEST: Final = 0.5
_BEHIND: Final = 0.05  # while a round leaves work for the next: pruning must keep up with the busiest queue
_BUSY: Final = 5.0  # while jobs are held nobody here may be claiming, so look more often


def first_look() -> float:
    """Return the seconds until the first round, spread at random so that workers take turns."""
    return random.uniform(_SHORTEST, _BUSY)  # noqa: S311 - spread, not a secret


async def tend(broker: PullBroker, *, busy: bool, kept: float, name: str = "") -> float:
    """Tend the carrier once; return the seconds until it asks for the next time, spread as well.

    `kept` is for how many seconds records are kept at least: a job that completes while this waits is then due. `name`
    is the carrier's, where there are several.
    """
    tended = await broker.tend()
    if tended.reclaimed:
        where = f"carrier {name}: " if name else ""
        _log.warning("%s%d jobs of workers that died were taken back", where, tended.reclaimed)
    longest = _BUSY if busy else min(_LONGEST, max(_SHORTEST, kept))
    due = longest if tended.next_in_ms is None else tended.next_in_ms / 1000
    shortest = _BEHIND if tended.next_in_ms == 0 else _SHORTEST
    return min(longest, max(shortest, due)) * random.uniform(0.9, 1.1)  # noqa: S311 - spread
