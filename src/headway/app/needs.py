"""What the tasks of an app need of their carriers, looked at before routes change."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError
from headway.job import PRIORITY_DEFAULT
from headway.routing.needs import TaskNeeds, lacks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from headway.app.task import Task
    from headway.brokers.base import Store
    from headway.config import Settings
    from headway.retry import Retry
    from headway.routing.declared import Declared
    from headway.routing.routes import Route
    from headway.routing.table import RouteTable


def gaining_carriers(
    known: Declared, before: RouteTable, after: RouteTable, queues: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Return the carriers that get more of a queue's jobs than before, by queue; `queues` are those of tasks."""
    looked = {*before.routes, *after.routes}
    if before.drained != after.drained:
        looked |= {*known.routes, *queues}
    found = {
        queue: _grown(known.working(before, queue), known.working(after, queue)) for queue in sorted(looked)
    }
    return {queue: names for queue, names in found.items() if names}


def _check_drained(known: Declared, before: RouteTable, after: RouteTable) -> None:
    """Refuse a route that would give a drained carrier more: nothing would come of it."""
    for queue in sorted({*before.routes, *after.routes}):
        for name in _grown(known.route(before, queue), known.route(after, queue)):
            if name in after.drained:
                msg = (
                    f"route of {queue}: carrier {name} is drained, nothing new goes there: "
                    f"`headway routes drain {name} --end` ends that"
                )
                raise ConfigError(msg)


def check_gaining(  # noqa: PLR0917 - all that the answer rests on
    tasks: Mapping[str, Task[Any, Any]],
    settings: Settings,
    carriers: Mapping[str, Store],
    known: Declared,
    before: RouteTable,
    after: RouteTable,
) -> None:
    """Refuse a carrier that is not there, or cannot do what a task needs that is to go there: ConfigError names it."""
    _check_drained(known, before, after)
    queues = {task.options_declared.queue for task in tasks.values()}
    for queue, names in gaining_carriers(known, before, after, queues).items():
        if missing := [name for name in names if name not in carriers]:
            msg = (
                f"route of {queue}: there is no carrier {missing[0]!r} any more; the carriers are "
                f"{', '.join(known.carriers)}"
            )
            raise ConfigError(msg)
        needs = list(needs_of(tasks, settings, [queue]))
        for name in names:
            if found := lacks(name, carriers[name].capabilities, needs):
                raise ConfigError(found[0])


def needs_of(
    tasks: Mapping[str, Task[Any, Any]], settings: Settings, queues: Collection[str]
) -> Iterator[TaskNeeds]:
    """Yield what the tasks of these queues need of their carrier."""
    payload = 0 if settings.offload else settings.payload_limit
    for task in tasks.values():
        declared = task.options_declared
        if declared.queue in queues:
            yield TaskNeeds(
                task.name,
                declared.queue,
                unique=declared.unique is not None,
                priority=declared.priority != PRIORITY_DEFAULT,
                delay_ms=round(_longest_wait(declared.retry) * 1000),
                payload=payload,
            )


def _grown(before: Route, after: Route) -> list[str]:
    """Return the carriers that get more of a queue's jobs than before."""
    old = before.weights
    return [name for name, percent in after.weights.items() if percent > old.get(name, 0)]


def _longest_wait(retry: Retry) -> float:
    """Return the seconds that a job waits for its next attempt at the most."""
    return max(_waits(retry), *(_waits(rule) for rule in retry.rules.values()), 0.0)


def _waits(retry: Retry) -> float:
    certain, none = replace(retry, jitter=0), Random(0)  # noqa: S311 - no chance is left in it
    last = min(retry.max_attempts - 1, len(retry.delays or ()) or retry.max_attempts)
    first = 1 if retry.delays is not None else last  # without a list each wait is longer than the one before
    return max((certain.delay(n, none).total_seconds() for n in range(max(1, first), last + 1)), default=0.0)
