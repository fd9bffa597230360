"""The routes that an app's settings declare, and what goes where under a table of routes over them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headway.routing.draining import working
from headway.routing.routes import PLACES, Route
from headway.routing.shadow import Shadow, at_work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.routing.table import RouteTable


@dataclass(frozen=True, slots=True)
class Declared:
    """The carriers of an app by name, at least one, and the routes of its settings.

    What is in the control store's table goes before them; a queue in neither goes to the first carrier.
    """

    carriers: tuple[str, ...]
    routes: Mapping[str, Route] = field(default_factory=dict[str, Route])
    shadows: Mapping[str, Shadow] = field(default_factory=dict[str, Shadow])

    @property
    def first(self) -> str:
        """The carrier that takes what has no route."""
        return self.carriers[0]

    def unrouted(self, queue: str) -> Route:
        """Return the route of a queue that is not in the table."""
        return self.routes.get(queue) or Route(queue, ((self.first, PLACES),))

    def route(self, table: RouteTable, queue: str) -> Route:
        """Return the route of a queue."""
        return table.routes.get(queue) or self.unrouted(queue)

    def working(self, table: RouteTable, queue: str) -> Route:
        """Return the route of a queue as it works: what is drained takes nothing."""
        return working(self.route(table, queue), table.drained)

    def shadow(self, table: RouteTable, queue: str) -> Shadow | None:
        """Return what of a queue is copied to another carrier now; None: nothing."""
        taken = frozenset(self.carriers) - frozenset(table.drained)
        return at_work(self.shadows, table.shadows, taken).get(queue)

    def over(self, table: RouteTable) -> RouteTable:
        """Return the table as it works: with the declared routes of the queues that are not in it, and none drained."""
        routes = dict(self.routes) | dict(table.routes)
        return replace(
            table,
            routes={queue: working(route, table.drained) for queue, route in routes.items()},
            shadows=dict(self.shadows) | dict(table.shadows),
        )

    def unknown(self, route: Route) -> list[str]:
        """Return the carriers that a route names and the settings do not."""
        return [name for name in route.weights if name not in self.carriers]
