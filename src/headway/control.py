"""Control documents: small versioned texts by which an app is steered, and the lease of the process that steers.

A carrier that keeps them does so with the jobs; which carriers do, their capabilities say.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from headway.errors import BrokerRefusedError, ConfigError
from headway.text import storable

MAX_BODY: Final = 256 * 1024
"""Bytes of a document: each process of the app reads it whole."""
KEPT_VERSIONS: Final = 100
"""How many versions of a document its history holds, the present one included."""
_MAX_NAME: Final = 200


class ControlDocument(Struct, frozen=True):
    """One version of a document. `changed_ms` (epoch ms) and `age_ms` are by the clock of its store."""

    name: str
    version: int  # 1 for the first, one more with each change
    body: bytes
    changed_ms: int
    age_ms: int  # how long it had this version when it was read: right also where the reader's clock is wrong


class Fence(Struct, frozen=True):
    """A lease on a name: what is written under it is refused once it ended, or somebody else has it.

    `token` grows with each new holder, so those who acted under an earlier one can be told from this one.
    """

    name: str
    holder: str
    token: int


def check_name(what: str, name: str) -> None:
    """ConfigError when a document, a lease or a holder cannot have this name."""
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or storable(name) != name:
        msg = f"{what}: must have 1 to {_MAX_NAME} characters that can be printed, got {name!a}"
        raise ConfigError(msg)


def check_body(name: str, body: bytes) -> None:
    """BrokerRefusedError names the document whose body is too large; nothing is written then."""
    if len(body) > MAX_BODY:
        msg = f"control document {name!r} has {len(body)} bytes; at most {MAX_BODY} are kept: make it shorter"
        raise BrokerRefusedError(msg)


def check_ttl(name: str, ttl_ms: int) -> None:
    """ConfigError when a lease cannot last so long."""
    if ttl_ms < 1:
        msg = f"the lease {name!r} must last for at least 1 ms, got {ttl_ms}"
        raise ConfigError(msg)


def check_limit(name: str, limit: int) -> int:
    """Return how many versions are to be read; ConfigError when that is none."""
    if limit < 1:
        msg = f"the history of {name!r}: limit must be at least 1, got {limit}"
        raise ConfigError(msg)
    return min(limit, KEPT_VERSIONS)
