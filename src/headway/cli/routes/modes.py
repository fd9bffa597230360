"""Which carriers of an app are drained, and what is copied where, for commands that show something else as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget


async def modes_of(opened: OpenTarget) -> dict[str, Any]:
    """Return `drained`, carriers with those that stand in, and `shadows` by queue; what is not there is left out."""
    if len(opened.carriers) == 1:
        return {}
    from headway.cli.routes.known import clock_of, declared_of
    from headway.routing.changing import control_carrier, read_routes
    from headway.routing.table import RouteTable

    control, known = control_carrier(opened.carriers), declared_of(opened)
    table = RouteTable() if control is None else (await read_routes(control[1], clock_of(opened))).table
    queues = sorted({*known.shadows, *table.shadows})
    found = {queue: shadow for queue in queues if (shadow := known.shadow(table, queue)) is not None}
    shadows = {queue: {"to": one.to, "percent": one.percent} for queue, one in found.items()}
    modes: dict[str, Any] = {"drained": dict(table.drained), "shadows": shadows}
    return {name: value for name, value in modes.items() if value}


def mode_lines(modes: dict[str, Any]) -> list[str]:
    """Say it, a line each."""
    lines = [
        f"carrier {name} is drained: nothing new goes there, {goal} stands in"
        for name, goal in modes.get("drained", {}).items()
    ]
    lines += [
        f"{queue}: {one['percent']} % are copied to {one['to']}, see headway stats headway-shadows"
        for queue, one in modes.get("shadows", {}).items()
    ]
    return lines
