"""How far somebody has read: an instant, and the place on each carrier, written as the id of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from msgspec import Struct

from headway.server.services.problems import MalformedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST: Final = 4000  # characters
_MOST_DIGITS: Final = 15


class Places(Struct, frozen=True):
    """Behind which event of each carrier somebody is, and when that was, in ms since 1970 UTC."""

    at_ms: int
    cursors: dict[str, str]


def write_places(at_ms: int, cursors: Mapping[str, str]) -> str:
    """Return them as the id of an event."""
    parts = [f"{name}={quote(cursor, safe='')}" for name, cursor in cursors.items()]
    return f"{at_ms}.{','.join(parts)}"


def read_places(text: str) -> Places:
    """Read the id of an event; MalformedError when it is none of ours."""
    instant, dot, rest = text.partition(".")
    pairs = [part.partition("=") for part in rest.split(",")] if rest else []
    sound = instant.isascii() and instant.isdecimal() and len(instant) <= _MOST_DIGITS and dot
    if len(text) > _LONGEST or not sound or not all(name and sign and cursor for name, sign, cursor in pairs):
        msg = f"Last-Event-ID: {text[:100]!r} is not the id of an event of this server"
        raise MalformedError(msg)
    return Places(int(instant), {name: unquote(cursor) for name, _, cursor in pairs})
