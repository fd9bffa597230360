"""The form in which a table of routes stands in a control store."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from headway.clock import LAST_MS
from headway.errors import CodecError
from headway.routing.routes import Route, Runs
from headway.routing.shadow import Shadow
from headway.routing.table import MAX_FORMER, RouteTable

MAX_BYTES: Final = 256 * 1024
"""Size of an encoded table, as control stores take it: about 1,000 queues with several changes each."""
_FORMAT: Final = 1


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
