"""Opening an app that has several carriers, with its routes before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.app.accepted import accepted_by
from headway.app.accepting import RoutedAcceptor
from headway.app.open_app import OpenApp
from headway.job import mark_of, marked_ids, new_job_id
from headway.routing.carriers.broker import RoutedBroker
from headway.routing.following import Following
from headway.routing.shadowing import Shadower
from headway.routing.written import parse_routes, parse_shadows

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headway.app.accepting import OneAcceptor
    from headway.app.task import Task
    from headway.brokers.base import Enqueued, Store
    from headway.clock import Clock
    from headway.job import NewJob
    from headway.routing.carriers.router import Router
    from headway.routing.failover.failover import Failover

    Answered = Callable[[Sequence[NewJob], Sequence[Enqueued]], None] | None


def open_routed(
    loop: asyncio.AbstractEventLoop,
    stores: Mapping[str, Store],
    routes: Mapping[str, object],
    acceptor: Callable[[Store, Answered], OneAcceptor],
    clock: Clock,
    *,
    tasks: Iterable[Task[Any, Any]] = (),
    failover: Failover | None = None,
) -> OpenApp:
    """Put the carriers together; ConfigError when a route names one that is not there."""
    names = tuple(stores)
    able = [store.capabilities.control for store in stores.values()]
    control = next((one for one in able if one is not None), None)
    following = Following(names, parse_routes(routes, names), control, parse_shadows(routes, names))
    following.on_adopt(lambda: _mark_ids(tasks, following))
    router: Router = following if failover is None else failover.around(following)
    given = stores if failover is None else failover.stores
    accepted = accepted_by(stores, clock)
    # To the carriers themselves: neither a breaker nor a spool is to hear of copies.
    accepted.shadower = Shadower(stores, lambda: following.shadows, clock, accepted.shadowed)
    if failover is not None:
        failover.count(accepted)
    answered = {name: accepted.of_carrier(name) for name in stores}
    carrier = RoutedBroker(given, router, answered)
    acceptors = {name: acceptor(store, answered[name]) for name, store in given.items()}
    accepting = RoutedAcceptor(carrier, acceptors, accepted)
    return OpenApp(loop, carrier, accepting, stores)


def _mark_ids(tasks: Iterable[Task[Any, Any]], router: Following) -> None:
    """Let ids end in the mark of the carrier that takes all jobs of their task now: a hint, put right where it errs."""
    for task in tasks:
        goal = router.only(task.options_declared.queue)
        task.new_id = new_job_id if goal is None else marked_ids(mark_of(goal))
