"""Pages of a listing, in the order of the names: a page token stays good when entries come and go."""

from __future__ import annotations

import binascii
import heapq
from base64 import b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, TypeVar

from headway.emulator.errors import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def page(named: Mapping[str, T], size: int, token: str, largest: int) -> tuple[list[T], str]:
    """Return a page and the token of the next one; empty when this is the last. INVALID_ARGUMENT for a bad request."""
    if size < 0:
        refuse("page_size must not be negative.")
    size = min(size or largest, largest)
    after = _read(token)
    names = heapq.nsmallest(size + 1, (name for name in named if name > after))
    more = len(names) > size
    names = names[:size]
    return [named[name] for name in names], _write(names[-1]) if more else ""


def _write(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _read(token: str) -> str:
    try:
        return b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        refuse("Invalid page_token in the request.")
