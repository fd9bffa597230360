"""API keys: `hw_PREFIX_SECRET`. The prefix finds the row, and may be shown; of the secret only a hash is kept.

The secret has 160 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final, NamedTuple

from msgspec import Struct

from headway.server.access.caller import Caller, Role, Scope

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PREFIX_LENGTH: Final = 10
_SECRET_LENGTH: Final = 32
_KEY: Final = re.compile(rf"hw_([{_ALPHABET}]{{{_PREFIX_LENGTH}}})_[{_ALPHABET}]{{{_SECRET_LENGTH}}}")


class FreshKey(NamedTuple):
    """A key that was just made: its text is shown once and kept nowhere."""

    text: str
    prefix: str
    digest: bytes


class KeyRecord(Struct, frozen=True, kw_only=True):
    """What is kept of a key. `former` is the one before the last rotation, which is good until an instant."""

    id: str
    name: str
    prefix: str
    digest: bytes
    role: Role
    scope: Scope
    created_ms: int
    created_by: str
    rate: int = 0
    expires_ms: int | None = None
    revoked_ms: int | None = None
    last_used_ms: int | None = None
    former_prefix: str | None = None
    former_digest: bytes | None = None
    former_until_ms: int | None = None

    def __repr__(self) -> str:
        """Show what is no secret."""
        return f"<KeyRecord {self.prefix} {self.name!r} {self.role}>"

    def accepts(self, text: str, now_ms: int) -> bool:
        """Tell whether this is the key, or the one before it in its time, neither revoked nor expired."""
        if self.revoked_ms is not None or (self.expires_ms is not None and self.expires_ms <= now_ms):
            return False
        given = digest_of(text)
        if hmac.compare_digest(given, self.digest):
            return True
        former = self.former_digest is not None and hmac.compare_digest(given, self.former_digest)
        return former and self.former_until_ms is not None and now_ms < self.former_until_ms

    def caller(self, address: str) -> Caller:
        """Return who calls with this key."""
        who = f"key {self.name} ({self.prefix})"
        return Caller(who, self.role, self.scope, key_id=self.id, address=address, rate=self.rate)


def make_key() -> FreshKey:
    """Make a key."""
    prefix, secret = _random(_PREFIX_LENGTH), _random(_SECRET_LENGTH)
    text = f"hw_{prefix}_{secret}"
    return FreshKey(text, prefix, digest_of(text))


def make_key_id() -> str:
    """Make the id of a key, which stays over rotations."""
    return _random(16)


def prefix_of(text: str) -> str | None:
    """Return the prefix of what may be a key; None when it has not the form of one."""
    found = _KEY.fullmatch(text)
    return None if found is None else found[1]


def digest_of(text: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(text.encode()).digest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
