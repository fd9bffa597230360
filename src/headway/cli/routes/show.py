"""`headway routes show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headway.cli.options import examples, json_option
from headway.cli.routes.known import counts_by_carrier, declared_of, held, known_queues, weights_text
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import QueueCounts
    from headway.cli.target import OpenTarget
    from headway.routing.changing import StoredRoutes
    from headway.routing.declared import Declared


class Seen(NamedTuple):
    """The routes of an app, and what its carriers hold. `control` is the carrier that keeps them, if any."""

    declared: Declared
    stored: StoredRoutes
    control: str | None
    urls: Mapping[str, str]
    queues: list[str]
    counts: Mapping[str, Mapping[str, QueueCounts]]


@click.command(
    epilog=examples(
        "headway routes show --app shop.jobs:app", "headway routes show --app shop.jobs:app --json"
    )
)
@json_option("the carriers and the routes")
@takes_target
def show(target: Target, *, as_json: bool) -> None:
    """Show where the jobs of each queue go now, and which carriers still hold some of before.

    Routes come from the control store (a version), from the settings, or are the rule for what has none: the first
    carrier.
    """
    from headway.cli.output import print_json

    seen = with_target(target, _see)
    if as_json:
        print_json(_fields(seen))
    else:
        _print(seen)


async def _see(opened: OpenTarget) -> Seen:
    from headway.cli.routes.known import clock_of
    from headway.routing.changing import StoredRoutes, control_carrier, read_routes
    from headway.routing.table import RouteTable
    from headway.text import redact

    declared, clock = declared_of(opened), clock_of(opened)
    control = control_carrier(opened.carriers)
    stored = StoredRoutes(RouteTable(), 0, clock.now_ms(), 0.0)
    if control is not None:
        stored = await read_routes(control[1], clock)
    counts = await counts_by_carrier(opened.carriers)
    urls = {
        name: redact(url) for name, url in opened.settings.carrier_urls.items() if name in opened.carriers
    }
    queues = known_queues(opened, declared, stored.table, counts)
    return Seen(declared, stored, None if control is None else control[0], urls, queues, counts)


def _origin(seen: Seen, queue: str) -> str:
    table = seen.stored.table
    if queue in table.routes:
        return f"version {table.changes.get(queue, table.version)}"
    return "settings" if queue in seen.declared.routes else "no route"


def _left(seen: Seen, queue: str) -> dict[str, dict[str, int]]:
    """Return the jobs that are still to run on carriers to which the queue's route does not lead."""
    weights = seen.declared.working(seen.stored.table, queue).weights
    found = {name: held(counts.get(queue)) for name, counts in seen.counts.items() if name not in weights}
    return {
        name: {state.value: count for state, count in some.items()} for name, some in found.items() if some
    }


def _fields(seen: Seen) -> dict[str, Any]:
    from headway.cli.render import iso

    table = seen.stored.table
    return {
        "version": table.version,
        "at": iso(table.when_ms) if table.version else None,
        "who": table.who,
        "reason": table.why,
        "control": seen.control,
        "carriers": [
            {
                "name": name,
                "url": seen.urls.get(name),
                "drained_to": table.drained.get(name),
                "left": _all_left(seen, name),
            }
            for name in seen.declared.carriers
        ],
        "routes": [
            {
                "queue": queue,
                "from": _origin(seen, queue),
                "weights": (route := seen.declared.route(table, queue)).weights,
                "working": seen.declared.working(table, queue).weights,
                "by": route.by or None,
                "shadow": None
                if (shadow := seen.declared.shadow(table, queue)) is None
                else {"to": shadow.to, "percent": shadow.percent},
                "unknown_carriers": seen.declared.unknown(route),
                "left": _left(seen, queue),
            }
            for queue in seen.queues
        ],
    }


def _print(seen: Seen) -> None:
    from headway.cli.output import Column, print_table, printable, yellow
    from headway.cli.render import relative

    for name in seen.declared.carriers:
        duties = ["takes what has no route"] if name == seen.declared.first else []
        duties += ["keeps the routes"] if name == seen.control else []
        if name in seen.stored.table.drained:
            left = ", ".join(f"{count} {state}" for state, count in _all_left(seen, name).items()) or "empty"
            duties.append(f"drained: nothing new goes there, left: {left}")
        emit(printable("; ".join([f"carrier {name}  {seen.urls.get(name, '-')}", *duties])))
    print_table(
        [Column("queue"), Column("route"), Column("from"), Column("still elsewhere", colour=yellow)],
        [
            [queue, _route_text(seen, queue), _origin(seen, queue), _left_text(_left(seen, queue))]
            for queue in seen.queues
        ],
        empty="no queues: nothing was enqueued yet",
    )
    table = seen.stored.table
    if table.version:
        why = f": {table.why}" if table.why else ""
        when = relative(table.when_ms, seen.stored.now_ms)
        emit(printable(f"version {table.version}, {when}, by {table.who or '?'}{why}"))
    elif seen.control is None:
        emit("no carrier of this app keeps routes: they come from the settings alone")
    else:
        emit("no version: the routes were never changed by hand")


def _route_text(seen: Seen, queue: str) -> str:
    route = seen.declared.route(seen.stored.table, queue)
    by = f" by {route.by}" if route.by else ""
    unknown = seen.declared.unknown(route)
    missing = (
        f" (no such carrier: {', '.join(unknown)}; its share goes to {seen.declared.first})"
        if unknown
        else ""
    )
    works = seen.declared.working(seen.stored.table, queue)
    now = f"; now {weights_text(works)}" if works != route else ""
    shadow = seen.declared.shadow(seen.stored.table, queue)
    copied = f"; {shadow.percent} % are copied to {shadow.to}" if shadow is not None else ""
    return f"{weights_text(route)}{by}{missing}{now}{copied}"


def _all_left(seen: Seen, name: str) -> dict[str, int]:
    """Return how many jobs of all queues a carrier has to run, by state."""
    found: dict[str, int] = {}
    for counts in seen.counts.get(name, {}).values():
        for state, count in held(counts).items():
            found[state.value] = found.get(state.value, 0) + count
    return found


def _left_text(left: Mapping[str, Mapping[str, int]]) -> str:
    return "; ".join(
        f"{name}: {', '.join(f'{count} {state}' for state, count in counts.items())}"
        for name, counts in left.items()
    )
