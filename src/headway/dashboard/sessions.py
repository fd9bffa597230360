"""Sessions: who signed in, in a cookie that only this app's servers can have made; pure.

The cookie is signed with what is kept of the API key that opened it. So every server process of the app knows it
without a further secret, and it is over as soon as the key is rotated or revoked. From it follows what each form
carries to show that it was filled in on one of our pages.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

from msgspec import Struct

LIFETIME_MS: Final = 12 * 3600 * 1000
"""How long a session lasts: a shift and its end."""
_FORM: Final = re.compile(r"([a-z0-9]{1,32})\.([A-Za-z0-9_-]{16,64})\.([0-9]{1,15})\.([0-9a-f]{64})")


class Session(Struct, frozen=True):
    """What a cookie says: the id of the key, a number used once, and until when it is good (ms)."""

    key: str
    nonce: str
    until_ms: int
    mark: str

    def made_with(self, digest: bytes, now_ms: int) -> bool:
        """Tell whether it was made with this key, and is still good."""
        expected = _mark(digest, self.key, self.nonce, self.until_ms)
        return hmac.compare_digest(expected, self.mark) and now_ms < self.until_ms


def begin(key_id: str, digest: bytes, now_ms: int) -> Session:
    """Begin a session for the key with this id, of which `digest` is kept."""
    nonce, until_ms = fresh_nonce(), now_ms + LIFETIME_MS
    return Session(key_id, nonce, until_ms, _mark(digest, key_id, nonce, until_ms))


def written(session: Session) -> str:
    """Return the text of its cookie."""
    return f"{session.key}.{session.nonce}.{session.until_ms}.{session.mark}"


def read(text: str) -> Session | None:
    """Return what a cookie says; None when it has not the form. Whether it is good, `Session.made_with` tells."""
    found = _FORM.fullmatch(text)
    return None if found is None else Session(found[1], found[2], int(found[3]), found[4])


def fresh_nonce() -> str:
    """Return a text that nobody can guess."""
    return secrets.token_urlsafe(24)


def form_token(secret: bytes, nonce: str) -> str:
    """Return what forms carry: it follows from a cookie that no page can read and a secret that no page knows."""
    return hmac.new(secret, b"headway form " + nonce.encode(), hashlib.sha256).hexdigest()


def same_token(given: str, expected: str) -> bool:
    """Compare two of them in a time that tells nothing."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _mark(digest: bytes, key: str, nonce: str, until_ms: int) -> str:
    said = f"headway session {key} {nonce} {until_ms}"
    return hmac.new(digest, said.encode(), hashlib.sha256).hexdigest()
