"""All routes of an app at one version, as the control store keeps them: who changed what, when and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.clock import LAST_MS
from headway.errors import CodecError
from headway.routing.draining import working
from headway.routing.routes import Route, Runs, moved
from headway.routing.shadow import Shadow
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MAX_BYTES: Final = 256 * 1024
"""Size of an encoded table, as control stores take it: about 1,000 queues with several changes each."""
MAX_FORMER: Final = 16
"""Earlier routes of a queue that are kept with it."""
MAX_WHO: Final = 200
MAX_WHY: Final = 1000
UNROUTED: Final = ""
"""Stands for all queues that neither a table nor the settings name: no queue is called so."""
_FORMAT: Final = 1


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


class _Entry(Struct, frozen=True, omit_defaults=True):
    runs: Runs
    by: str = ""


class _Document(Struct, frozen=True):
    """The form in the store. Fields that a later Headway adds are passed over, so that old producers go on."""

    format: int
    version: int
    parent: int
    who: str
    when_ms: int
    why: str
    routes: dict[str, _Entry]
    restores: int = 0
    former: dict[str, tuple[_Entry, ...]] = {}
    changes: dict[str, int] = {}
    drained: dict[str, str] = {}
    shadows: dict[str, Shadow] = {}


_decoder: Final = msgspec.json.Decoder(_Document)


def encode_table(table: RouteTable) -> bytes:
    """Return the table as JSON; ValueError when it is larger than MAX_BYTES."""
    entries = {queue: _Entry(route.runs, route.by) for queue, route in table.routes.items()}
    data = msgspec.json.encode(
        _Document(
            format=_FORMAT,
            version=table.version,
            parent=table.parent,
            who=table.who,
            when_ms=table.when_ms,
            why=table.why,
            routes=entries,
            restores=table.restores,
            former={
                queue: tuple(_Entry(route.runs, route.by) for route in routes)
                for queue, routes in table.former.items()
            },
            changes=dict(table.changes),
            drained=dict(table.drained),
            shadows=dict(table.shadows),
        )
    )
    if len(data) > MAX_BYTES:
        msg = f"the routes of {len(entries)} queues have {len(data)} bytes, more than {MAX_BYTES}: route fewer queues"
        raise ValueError(msg)
    return data


def decode_table(data: bytes) -> RouteTable:
    """Read a table; CodecError when it is damaged, too large, or of a format that this Headway does not know."""
    if len(data) > MAX_BYTES:
        msg = f"stored routes have {len(data)} bytes, more than {MAX_BYTES}"
        raise CodecError(msg)
    try:
        document = _decoder.decode(data)
        if document.format != _FORMAT:
            msg = f"stored routes have format {document.format}, this Headway knows {_FORMAT}: upgrade it"
            raise CodecError(msg)
        if not (0 <= document.parent <= document.version and 0 <= document.when_ms <= LAST_MS):
            msg = "stored routes are damaged: the version or the instant cannot be"
            raise CodecError(msg)
        routes = {queue: Route(queue, entry.runs, entry.by) for queue, entry in document.routes.items()}
        former = {
            queue: tuple(Route(queue, entry.runs, entry.by) for entry in entries[:MAX_FORMER])
            for queue, entries in document.former.items()
        }
    except (msgspec.MsgspecError, ValueError) as error:
        if isinstance(error, CodecError):
            raise
        msg = f"stored routes are damaged: {error}"
        raise CodecError(msg) from error
    return RouteTable(
        version=document.version,
        parent=document.parent,
        routes=routes,
        who=document.who,
        when_ms=document.when_ms,
        why=document.why,
        restores=document.restores,
        former=former,
        changes=document.changes,
        drained=document.drained,
        shadows=document.shadows,
    )


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
