"""What a roll-out looked like over time, from what the stores kept: versions of the routes, and events of jobs."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.events import Event

MOST: Final = 70
"""Moments at most, so that a chart of them fits into a terminal."""
_FAILED: Final = frozenset({EventKind.RETRY, EventKind.FAILED})
_ENDED: Final = _FAILED | {EventKind.SUCCEEDED}


class Moment(Struct, frozen=True):
    """One second or some: the share of the new side in percent at its end, and attempts that ended by carrier."""

    seconds: int  # from the beginning of the first moment to the end of this one
    percent: int
    ended: dict[str, int]
    failed: dict[str, int]

    def error_rate(self, carrier: str) -> float | None:
        """Return the share of attempts that failed; None where none ended."""
        ended = self.ended.get(carrier, 0)
        return self.failed.get(carrier, 0) / ended if ended else None


def curve(
    weights: Sequence[tuple[int, int]], events: Mapping[str, Sequence[Event]], start_ms: int, end_ms: int
) -> list[Moment]:
    """Return the moments from start to end, all of the same number of seconds.

    `weights` are instants and the percentages that were in force from then on.
    """
    seconds = max(1, math.ceil((end_ms - start_ms) / 1000))
    span = math.ceil(seconds / MOST)
    ended: dict[str, Counter[int]] = {}
    failed: dict[str, Counter[int]] = {}
    for carrier, some in events.items():
        at = [((event.at_ms - start_ms) // (span * 1000), event.kind) for event in some]
        ended[carrier] = Counter(moment for moment, kind in at if kind in _ENDED)
        failed[carrier] = Counter(moment for moment, kind in at if kind in _FAILED)
    latest_first = sorted(weights, reverse=True)
    return [
        Moment(
            until,
            next((percent for when, percent in latest_first if when < start_ms + until * 1000), 0),
            {carrier: counts[number] for carrier, counts in ended.items()},
            {carrier: counts[number] for carrier, counts in failed.items()},
        )
        for number, until in enumerate(range(span, seconds + span, span))
    ]
