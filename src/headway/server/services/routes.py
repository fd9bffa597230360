"""Routes: which carriers take the jobs of a queue; shown, changed, rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from headway.app.needs import check_gaining
from headway.clock import from_ms
from headway.errors import ConfigError
from headway.routing.changing import KEPT, change_routes, read_routes, routes_history
from headway.routing.declared import Declared
from headway.routing.table import RouteTable
from headway.routing.wishing import with_shadow
from headway.routing.written import checked_weights, parse_routes, parse_shadows
from headway.server.instants import Instant
from headway.server.services.problems import ConflictError, InvalidError, NotFoundError
from headway.server.services.queues import checked_queue
from headway.server.services.shared import check_everything, control_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import ControlStore
    from headway.routing.changing import Change
    from headway.routing.routes import Route
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

    Edit = Callable[[RouteTable, int], RouteTable]


class ShadowView(Struct, frozen=True):
    """Copies of so many percent of a queue's jobs go to another carrier, which is tried out with them."""

    to: str
    percent: int


class RouteView(Struct, frozen=True):
    """Which percentage of a queue's new jobs each carrier takes. `declared`: by the settings, not by a change."""

    queue: str
    weights: dict[str, int]
    by: str  # empty: placed by key or id; else such as `header:tenant`
    declared: bool
    shadow: ShadowView | None = None  # null: nothing is copied


class RoutesView(Struct, frozen=True):
    """The routes in force; what has none goes to the first carrier. `version` 0: nobody has changed any.

    `drained` are carriers to which nothing new goes, each with the one that stands in for it.
    """

    version: int
    carriers: tuple[str, ...]
    routes: list[RouteView]
    who: str = ""
    why: str = ""
    changed_at: Instant | None = None
    drained: dict[str, str] = {}


class RouteWish(Struct, frozen=True, forbid_unknown_fields=True):
    """What a route is to be: whole percentages that add up to 100. Without weights: as the settings declare it.

    `shadow` is a carrier and the percentage that is copied there, such as `push=5`, or `none`; given without weights it
    leaves them as they are.
    """

    weights: dict[str, int] | None = None
    by: str | None = None
    shadow: str | None = None
    reason: str = ""


class Routes:
    """The routes of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def declared(self) -> Declared:
        """The routes of the settings."""
        names, routes = tuple(self._shared.carriers), self._shared.app.settings.routes
        return Declared(names, parse_routes(routes, names), parse_shadows(routes, names))

    async def show(self, caller: Caller) -> RoutesView:
        """Return the routes of all queues that a task, a route or a job names."""
        control = self._shared.control
        declared = self.declared
        if control is None:
            return self._view(caller, None, declared, 0)
        stored = await read_routes(control, self._shared.app.clock)
        return self._view(caller, stored.table, declared, stored.version)

    async def history(self, caller: Caller, limit: int = KEPT) -> list[RoutesView]:
        """Return the last versions, the present one first."""
        check_everything(caller, "routes")
        control = control_of(self._shared)
        return [
            self._view(caller, table, None, table.version) for table in await routes_history(control, limit)
        ]

    async def set(self, caller: Caller, queue: str, wish: RouteWish) -> RoutesView:
        """Set one route, once the last change has settled (at most 4 s).

        InvalidError names what is wrong: weights, a carrier that is not there, or one that cannot do what a task needs.
        """
        check_everything(caller, "routes")
        checked_queue(queue)
        control, declared = control_of(self._shared), self.declared

        def edit(table: RouteTable, now_ms: int) -> RouteTable:
            before = declared.route(table, queue)
            after = _wished(declared, before, wish)
            copied = with_shadow(
                declared, table, queue, wish.shadow, f"shadow of {queue}", declared=after is None
            )
            same = after == before or (after is None and queue not in table.routes)
            if same and copied is table:
                return table
            changed = copied.changed(
                {} if same else {queue: after},
                who=caller.who,
                when_ms=now_ms,
                why=wish.reason,
                unrouted=declared.unrouted,
            )
            self._check(declared, table, changed)
            return changed

        return await self._changed(caller, control, edit, f"route of {queue}", "routes.set")

    async def roll_back(self, caller: Caller, version: int, reason: str = "") -> RoutesView:
        """Take the routes of an earlier version, as a new one; NotFoundError when that is not kept any more."""
        check_everything(caller, "routes")
        control, declared = control_of(self._shared), self.declared
        tables = {table.version: table for table in await routes_history(control)}
        if version not in tables:
            kept = ", ".join(map(str, sorted(tables))) or "none"
            msg = f"version {version} of the routes is not kept: there are {kept}"
            raise NotFoundError(msg)

        def edit(table: RouteTable, now_ms: int) -> RouteTable:
            if version > table.version:
                msg = f"version {version} is later than the present one, {table.version}"
                raise ConflictError(msg)
            changed = table.rolled_back(
                tables[version], who=caller.who, when_ms=now_ms, why=reason, unrouted=declared.unrouted
            )
            if changed.routes == table.routes:
                return table
            self._check(declared, table, changed)
            return changed

        return await self._changed(caller, control, edit, "routes", "routes.roll-back")

    async def _changed(
        self,
        caller: Caller,
        control: ControlStore,
        edit: Edit,
        subject: str,
        act: str,
    ) -> RoutesView:
        try:
            change: Change = await change_routes(control, edit, self._shared.app.clock)
        except ConfigError as error:
            raise InvalidError(str(error)) from error
        if change.made:
            await self._shared.audit.note(
                caller, act, subject, before=_weights(change.before), after=_weights(change.after)
            )
        return await self.show(caller)

    def _check(self, declared: Declared, before: RouteTable, after: RouteTable) -> None:
        app = self._shared.app
        check_gaining(app.tasks, app.settings, self._shared.carriers, declared, before, after)

    def _view(
        self, caller: Caller, table: RouteTable | None, declared: Declared | None, version: int
    ) -> RoutesView:
        names = set[str](() if table is None else table.routes)
        if declared is not None:
            names |= {*declared.routes, *self._shared.app.queues}
        routes: list[RouteView] = []
        for queue in sorted(one for one in names if caller.scope.has_queue(one)):
            set_here = table is not None and queue in table.routes
            if table is not None and set_here:
                route = table.routes[queue]
            elif declared is not None:
                route = declared.unrouted(queue)
            else:
                continue
            shadow = _shadow(declared, table, queue)
            routes.append(RouteView(queue, route.weights, route.by, not set_here, shadow))
        known = table is not None and version
        return RoutesView(
            version,
            tuple(self._shared.carriers),
            routes,
            who=table.who if table is not None else "",
            why=table.why if table is not None else "",
            changed_at=from_ms(table.when_ms) if table is not None and known else None,
            drained=dict(table.drained) if table is not None else {},
        )


def _shadow(declared: Declared | None, table: RouteTable | None, queue: str) -> ShadowView | None:
    """Return what is copied; of an earlier version (without `declared`), what was set then."""
    if declared is not None:
        shadow = declared.shadow(table or RouteTable(), queue)
    else:
        shadow = None if table is None else table.shadows.get(queue)
    return None if shadow is None or not shadow.percent else ShadowView(shadow.to, shadow.percent)


def _wished(declared: Declared, before: Route, wish: RouteWish) -> Route | None:
    """Return the route that is asked for; None: that of the settings. ConfigError."""
    if wish.weights is None:
        if wish.by is not None:
            msg = "by: give it with weights, or neither for the route of the settings"
            raise ConfigError(msg)
        return None if wish.shadow is None else before
    what = f"routes.{before.queue}"
    weights = checked_weights(wish.weights, declared.carriers, what)
    after = before.changed(weights)
    if wish.by is None or wish.by == after.by:
        return after
    parsed = {**weights, "by": wish.by} if wish.by else dict(weights)
    return parse_routes({before.queue: parsed}, declared.carriers)[before.queue]


def _weights(table: RouteTable) -> dict[str, object]:
    return {
        "version": table.version,
        "routes": {
            queue: {**route.weights, **({"by": route.by} if route.by else {})}
            for queue, route in table.routes.items()
        },
        "shadows": {queue: f"{one.to}={one.percent}" for queue, one in table.shadows.items()},
    }
