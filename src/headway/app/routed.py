"""Opening an app that has several carriers, with its routes before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.app.accepted import accepted_by
from headway.app.accepting import RoutedAcceptor
from headway.app.open_app import OpenApp
from headway.routing.carriers.broker import RoutedBroker
from headway.routing.following import Following
from headway.routing.written import parse_routes

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from headway.app.accepting import OneAcceptor
    from headway.brokers.base import Enqueued, Store
    from headway.clock import Clock
    from headway.job import NewJob

    Answered = Callable[[Sequence[NewJob], Sequence[Enqueued]], None] | None


def open_routed(
    loop: asyncio.AbstractEventLoop,
    stores: Mapping[str, Store],
    routes: Mapping[str, object],
    acceptor: Callable[[Store, Answered], OneAcceptor],
    clock: Clock,
) -> OpenApp:
    """Put the carriers together; ConfigError when a route names one that is not there."""
    names = tuple(stores)
    able = [store.capabilities.control for store in stores.values()]
    control = next((one for one in able if one is not None), None)
    router = Following(names, parse_routes(routes, names), control)
    accepted = accepted_by(stores, clock)
    answered = {name: accepted.of_carrier(name) for name in stores}
    carrier = RoutedBroker(stores, router, answered)
    acceptors = {name: acceptor(store, answered[name]) for name, store in stores.items()}
    accepting = RoutedAcceptor(carrier, acceptors, accepted)
    return OpenApp(loop, carrier, accepting, stores)
