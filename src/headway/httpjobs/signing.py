"""Signatures by Standard Webhooks: HMAC-SHA256 over id, time and body, so that a target knows who calls.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX: Final = "whsec_"
_LEAST: Final = 16  # bytes; the specification recommends 24 to 64


def signed(message_id: str, at_s: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers; several secrets, while one replaces the other, give several signatures. ValueError."""
    content = f"{message_id}.{at_s}.".encode() + body
    made = [base64.b64encode(hmac.digest(key_of(one), content, hashlib.sha256)).decode() for one in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{one}" for one in made),
    }


def key_of(secret: str) -> bytes:
    """Return the key of a secret: Base64 behind `whsec_`, else its own bytes; ValueError never shows it."""
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            msg = "a secret to sign with begins with whsec_ and goes on with something else than Base64"
            raise ValueError(msg) from None
    else:
        key = secret.encode()
    if len(key) < _LEAST:
        msg = f"a secret to sign with must have {_LEAST} bytes at least; make one of 32"
        raise ValueError(msg)
    return key
