"""What differs between two tables of routes, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.routing.routes import Route, moved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headway.routing.shadow import Shadow
    from headway.routing.table import RouteTable


def differences(old: RouteTable, new: RouteTable, default: str) -> list[str]:
    """Return what differs, one line a carrier that is drained or no more, and one a queue in the order of names.

    A queue without a route goes to the carrier `default`. Each line says which percentage of the queue's new jobs
    changes its carrier.
    """
    lines = [
        f"{name} is drained: nothing new goes there, {goal} stands in"
        for name, goal in new.drained.items()
        if old.drained.get(name) != goal
    ]
    lines += [f"{name} is drained no more" for name in old.drained if name not in new.drained]
    for queue in sorted(old.shadows.keys() | new.shadows.keys()):
        if old.shadows.get(queue) != new.shadows.get(queue):
            lines.append(f"{queue}: {shadow_text(new.shadows.get(queue))}")
    return lines + [
        line
        for queue in sorted(old.routes.keys() | new.routes.keys())
        for line in _difference(queue, old.routes.get(queue), new.routes.get(queue), default)
    ]


def shadow_text(shadow: Shadow | None) -> str:
    """Say what is copied."""
    if shadow is None or not shadow.percent:
        return "nothing is copied any more"
    return f"{shadow.percent} % are copied to {shadow.to}"


def _difference(queue: str, old: Route | None, new: Route | None, default: str) -> Iterator[str]:
    if old == new:
        return
    whole = Route(queue, ((default, 100),))
    before, after = old or whole, new or whole
    parts = [
        f"{name} {before.weights.get(name, 0)} -> {after.weights.get(name, 0)} %"
        for name in sorted(before.weights.keys() | after.weights.keys())
        if before.weights.get(name) != after.weights.get(name)
    ]
    if before.by != after.by:
        parts.append(f"placed by {after.by or 'key or id'} instead of {before.by or 'key or id'}")
    if old is None:
        parts.append("has a route now")
    if new is None:
        parts.append(f"has no route any more: all to {default}, the first carrier")
    if not parts:
        parts.append("the same weights on other places")
    percent = moved(before, after)
    moves = "up to 100 % of its jobs" if before.by != after.by and percent else f"{percent} % of its jobs"
    yield (
        f"{queue}: {'; '.join(parts)}; {moves} change their carrier"
        if percent
        else f"{queue}: {'; '.join(parts)}"
    )
