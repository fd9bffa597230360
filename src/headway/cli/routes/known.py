"""What the commands about routes know of an app: its carriers, declared routes, queues, and what its tasks need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.job import SHADOW_QUEUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import QueueCounts, Store
    from headway.cli.target import OpenTarget
    from headway.clock import Clock
    from headway.job import JobState
    from headway.routing.declared import Declared
    from headway.routing.routes import Route
    from headway.routing.table import RouteTable


def declared_of(opened: OpenTarget) -> Declared:
    """Return the carriers and the declared routes; ConfigError when a route names a carrier that is not there."""
    from headway.routing.declared import Declared
    from headway.routing.written import parse_routes, parse_shadows

    names = tuple(opened.carriers)
    routes = opened.settings.routes
    return Declared(names, parse_routes(routes, names), parse_shadows(routes, names))


def clock_of(opened: OpenTarget) -> Clock:
    """Return the clock of the app."""
    from headway.clock import SystemClock

    return opened.app.clock if opened.app is not None else SystemClock()


async def counts_by_carrier(carriers: Mapping[str, Store]) -> dict[str, dict[str, QueueCounts]]:
    """Return what each carrier holds, by its name and by queue; one that is away is left out, unless all are.

    Its traffic is to be led elsewhere just then.
    """
    import asyncio

    from headway.errors import BrokerUnavailableError

    told = await asyncio.gather(*(carrier.counts() for carrier in carriers.values()), return_exceptions=True)
    found: dict[str, dict[str, QueueCounts]] = {}
    for name, counts in zip(carriers, told, strict=True):
        if not isinstance(counts, BaseException):
            found[name] = {one.queue: one for one in counts}
        elif not isinstance(counts, BrokerUnavailableError):
            raise counts
    if not found:
        raise next(one for one in told if isinstance(one, BaseException))
    return found


def known_queues(
    opened: OpenTarget, declared: Declared, table: RouteTable, counts: Mapping[str, Mapping[str, QueueCounts]]
) -> list[str]:
    """Return the queues that a task, a route or a job names, sorted."""
    named = {*declared.routes, *table.routes, *(queue for one in counts.values() for queue in one)}
    queues = named | set(opened.app.queues if opened.app is not None else ())
    return sorted(queues - {SHADOW_QUEUE})  # copies of jobs have no route


def held(counts: QueueCounts | None) -> dict[JobState, int]:
    """Return how many jobs of a queue a carrier still has to run, by state; empty: none."""
    if counts is None:
        return {}
    return {state: count for state, count in counts.counts.items() if count and not state.terminal}


def weights_text(route: Route) -> str:
    """Return the weights of a route in words."""
    if route.only is not None:
        return f"all to {route.only}"
    return ", ".join(f"{name} {percent} %" for name, percent in route.weights.items())


def me() -> str:
    """Return who runs this command, and where."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "?"
    return f"{user}@{socket.gethostname()}"
