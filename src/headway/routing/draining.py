"""Carriers that are drained: nothing new goes there, and their places in each route are taken by others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.routing.routes import PLACES, Route

if TYPE_CHECKING:
    from collections.abc import Mapping


def working(route: Route, drained: Mapping[str, str]) -> Route:
    """Return a route as it works while these carriers are drained, each with the one that stands in for it.

    The other carriers of the route take the places in proportion to their own; where there is none, the one that stands
    in does. No place moves between two carriers that are not drained.
    """
    weights = route.weights
    if not drained or drained.keys().isdisjoint(weights):
        return route
    left = {name: count for name, count in weights.items() if name not in drained}
    if not left:
        most = max(weights, key=lambda name: weights[name])
        return route.changed({stand_in(most, drained): PLACES})
    return route.changed(_spread(left))


def stand_in(carrier: str, drained: Mapping[str, str]) -> str:
    """Return the carrier that takes the jobs of this one; itself, where all are drained by turns."""
    goal, seen = carrier, set[str]()
    while goal in drained and goal not in seen:
        seen.add(goal)
        goal = drained[goal]
    return goal


def _spread(weights: Mapping[str, int]) -> dict[str, int]:
    """Return weights in this proportion that add up to 100: whole ones, what is left over to the largest rests."""
    total = sum(weights.values())
    shares = {name: divmod(count * PLACES, total) for name, count in weights.items()}
    spread = {name: whole for name, (whole, _) in shares.items()}
    rests = sorted(shares, key=lambda name: (-shares[name][1], name))
    for name in rests[: PLACES - sum(spread.values())]:
        spread[name] += 1
    return spread
