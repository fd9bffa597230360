"""Percentiles and ratios."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the values lie, interpolated; ValueError without values."""
    if not values:
        msg = "no values"
        raise ValueError(msg)
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def advantage(own: float, other: float, *, higher_is_better: bool) -> float | None:
    """Return how many times better `own` is than `other`: 2 is twice as good; None where one is not positive."""
    if own <= 0 or other <= 0:
        return None
    return own / other if higher_is_better else other / own
