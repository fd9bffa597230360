"""All routes of an app at one version: who changed what, when and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from headway.routing.draining import working
from headway.routing.routes import Route
from headway.routing.shadow import Shadow
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MAX_FORMER: Final = 16
"""Earlier routes of a queue that are kept with it."""
MAX_WHO: Final = 200
MAX_WHY: Final = 1000
UNROUTED: Final = ""
"""Stands for all queues that neither a table nor the settings name: no queue is called so."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The routes of an app by queue; what is not in it goes to the app's first carrier.

    Version 0 is the empty table that nobody has set; each change makes the next number. `parent` is the version that
    the change was made from. `when_ms` is in milliseconds since 1970 UTC. `restores` is the version whose routes a
    roll-back took, 0 for any other change. `former` are the different routes that a queue had before, the last one
    first, at most MAX_FORMER: jobs of then may hold a key. `changes` says at which version each queue's route changed.
    `drained` are the carriers to which nothing new goes, each with the one that stands in for it where a route has no
    other (see `working`); `former` and `changes` are about routes as they work, and have under `UNROUTED` what became
    of the queues that no table names. `shadows` say by queue what is copied to another carrier.
    """

    version: int = 0
    parent: int = 0
    routes: Mapping[str, Route] = field(default_factory=dict[str, Route])
    who: str = ""
    when_ms: int = 0
    why: str = ""
    restores: int = 0
    former: Mapping[str, tuple[Route, ...]] = field(default_factory=dict[str, tuple[Route, ...]])
    changes: Mapping[str, int] = field(default_factory=dict[str, int])
    drained: Mapping[str, str] = field(default_factory=dict[str, str])
    shadows: Mapping[str, Shadow] = field(default_factory=dict[str, Shadow])

    def changed(
        self,
        routes: Mapping[str, Route | None],
        *,
        who: str,
        when_ms: int,
        why: str,
        unrouted: Callable[[str], Route] | None = None,
    ) -> RouteTable:
        """Return the next version with these routes set, and those that are None taken out; others stay as they are.

        `unrouted` tells the route of a queue that is not in a table: its jobs of before went there.
        """
        kept = {queue: route for queue, route in self.routes.items() if queue not in routes}
        given = {queue: route for queue, route in routes.items() if route is not None}
        return self._next(kept | given, who, when_ms, why, unrouted=unrouted)

    def rolled_back(
        self,
        to: RouteTable,
        *,
        who: str,
        when_ms: int,
        why: str,
        unrouted: Callable[[str], Route] | None = None,
    ) -> RouteTable:
        """Return the next version, with the routes of an earlier one: history is never rewritten."""
        return self._next(to.routes, who, when_ms, why, restores=to.version, unrouted=unrouted)

    def drained_as(
        self,
        drained: Mapping[str, str],
        *,
        who: str,
        when_ms: int,
        why: str,
        unrouted: Callable[[str], Route],
        queues: Iterable[str],
    ) -> RouteTable:
        """Return the next version, with these carriers drained and no other; `queues` have routes in the settings."""
        return self._next(
            self.routes, who, when_ms, why, unrouted=unrouted, drained=drained, queues=(*queues, UNROUTED)
        )

    def redeclared(
        self,
        queues: Iterable[str],
        *,
        who: str,
        when_ms: int,
        why: str,
        before: Callable[[str], Route],
        after: Callable[[str], Route],
    ) -> RouteTable:
        """Return the next version, with the same routes: those of the settings have changed, for these queues."""
        return self._next(
            self.routes, who, when_ms, why, unrouted=after, unrouted_before=before, queues=queues
        )

    def shadowed(self, queue: str, shadow: Shadow | None) -> RouteTable:
        """Return this version with another shadow of a queue; None: that of the settings, if there is one."""
        shadows = {name: one for name, one in self.shadows.items() if name != queue}
        if shadow is not None:
            shadows[queue] = shadow
        return replace(self, shadows=dict(sorted(shadows.items())))

    def _next(  # noqa: PLR0913 - what versions can differ by
        self,
        routes: Mapping[str, Route],
        who: str,
        when_ms: int,
        why: str,
        *,
        restores: int = 0,
        unrouted: Callable[[str], Route] | None = None,
        drained: Mapping[str, str] | None = None,
        queues: Iterable[str] = (),
        unrouted_before: Callable[[str], Route] | None = None,
    ) -> RouteTable:
        ordered = {queue: routes[queue] for queue in sorted(routes)}
        drained = self.drained if drained is None else drained
        who, why = storable(who, MAX_WHO), storable(why, MAX_WHY)
        former, changes = dict(self.former), dict(self.changes)
        for queue in sorted({*self.routes, *routes, *queues}):
            earlier_rule = unrouted_before or unrouted
            before = self.routes.get(queue) or (earlier_rule(queue) if earlier_rule else None)
            after = routes.get(queue) or (unrouted(queue) if unrouted else None)
            before = before and working(before, self.drained)
            after = after and working(after, drained)
            if before != after:
                changes[queue] = self.version + 1
                if before is not None:
                    earlier = [one for one in former.get(queue, ()) if one != before]
                    former[queue] = (before, *earlier)[:MAX_FORMER]
        return RouteTable(
            self.version + 1,
            self.version,
            ordered,
            who,
            when_ms,
            why,
            restores,
            former,
            changes,
            dict(sorted(drained.items())),
            self.shadows,
        )
