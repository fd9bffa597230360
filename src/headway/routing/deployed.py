"""The routes of the settings as they were last started with: a deploy that changes them is a version like any other.

Without it nobody could read in the history why jobs went elsewhere from a minute on, and a key of before the deploy
would hold nothing: where its job may be is what a table knows of earlier routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.errors import CodecError
from headway.routing.changing import change_routes
from headway.routing.declared import Declared
from headway.routing.differences import differences
from headway.routing.routes import Route, Runs
from headway.routing.table import UNROUTED, RouteTable

if TYPE_CHECKING:
    from headway.brokers.base import ControlStore
    from headway.clock import Clock

DEPLOYED: Final = "deployed-routes"
"""The name of the document in the control store."""


class _Entry(Struct, frozen=True):
    runs: Runs
    by: str = ""


class _Deployed(Struct, frozen=True):
    carriers: tuple[str, ...]
    routes: dict[str, _Entry]


_decoder: Final = msgspec.json.Decoder(_Deployed)


async def note_deployed(control: ControlStore, declared: Declared, clock: Clock, who: str) -> list[str]:
    """Keep the routes of the settings, and write a version where they changed; return what changed, a line a queue.

    Of several processes of one deploy the first does it. BrokerError, CodecError, RoutesBusyError.
    """
    found = await control.read_control(DEPLOYED)
    before = None if found is None else _read(found.body)
    if before is not None and (before.first, before.routes) == (declared.first, declared.routes):
        return []
    version = 0 if found is None else found.version
    if await control.write_control(DEPLOYED, _write(declared), expected=version) is None or before is None:
        return []
    old, none = before, RouteTable()
    lines = differences(old.over(none), declared.over(none), declared.first)
    if old.first != declared.first:
        lines.insert(0, f"what has no route goes to {declared.first} instead of {old.first}")

    def edit(table: RouteTable, now_ms: int) -> RouteTable:
        queues = {*old.routes, *declared.routes} - set(table.routes)
        if not queues and old.first == declared.first:
            return table  # what was set by hand counts on
        return table.redeclared(
            (*queues, UNROUTED),
            who=who,
            when_ms=now_ms,
            why=f"the settings were changed: {'; '.join(lines)}",
            before=old.unrouted,
            after=declared.unrouted,
        )

    await change_routes(control, edit, clock)
    return lines


def _write(declared: Declared) -> bytes:
    routes = {queue: _Entry(route.runs, route.by) for queue, route in declared.routes.items()}
    return msgspec.json.encode(_Deployed(declared.carriers, routes))


def _read(body: bytes) -> Declared:
    try:
        kept = _decoder.decode(body)
        routes = {queue: Route(queue, one.runs, one.by) for queue, one in kept.routes.items()}
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"the stored routes of the settings are damaged: {error}"
        raise CodecError(msg) from error
    if not kept.carriers:
        msg = "the stored routes of the settings are damaged: they name no carrier"
        raise CodecError(msg)
    return Declared(kept.carriers, routes)
