"""HMAC: requests signed with a secret that sender and receiver share.

A dispatcher of one's own signs each request as it sends it: `t=<seconds>,v1=<hex>`, good for five minutes. What is
stored as it is and sent later (a task, a scheduler's job) carries a signature with a date: `until=<seconds>,v1=<hex>`.
Within that time a request can be repeated by who has got hold of it; while the job's record is kept, that does nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from headway.brokers.cloudtasks.auth.verifier import UnverifiedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import BodySums, PushRequest
    from headway.clock import Clock

SIGNATURE_HEADER: Final = "x-headway-signature"
TOLERANCE_S: Final = 300
_FORM: Final = re.compile(r"(t|until)=([0-9]{1,12}),v1=([0-9a-f]{64})", re.ASCII)


def sign_until(secret: bytes, body: bytes, until_s: int) -> str:
    """Return the signature of a body that is sent later, good until that instant in seconds since 1970 UTC."""
    return f"until={until_s},v1={_digest(secret, b'until %d.' % until_s, body)}"


class _Sums:
    """The digests of a body with each secret, made as it comes in."""

    def __init__(self, secrets: Sequence[bytes], kind: str, instant: str) -> None:
        prefix = (b"%d." if kind == "t" else b"until %d.") % int(instant)
        self._sums = [hmac.new(secret, prefix, hashlib.sha256) for secret in secrets]

    def update(self, part: bytes) -> None:
        """Take the next part."""
        for one in self._sums:
            one.update(part)

    def digests(self) -> list[str]:
        """Return them, in hexadecimal digits."""
        return [one.hexdigest() for one in self._sums]


class HmacVerifier:
    """Verifies signatures."""

    def __init__(self, secrets: Sequence[str], clock: Clock) -> None:
        """`secrets` are all accepted: tasks that wait may be signed with one of the past."""
        self._secrets = [secret.encode() for secret in secrets]
        self._clock = clock

    def __repr__(self) -> str:
        """Show no secret."""
        return "<HmacVerifier>"

    async def admit(self, headers: Mapping[str, str]) -> None:
        """Raise UnverifiedError unless there is something that has the form of a signature."""
        _parts(headers)

    def sums(self, headers: Mapping[str, str]) -> BodySums | None:
        """Return the digests of a body that is still to come; None when it carries no signature."""
        try:
            kind, instant, _ = _parts(headers)
        except UnverifiedError:
            return None
        return _Sums(self._secrets, kind, instant)

    async def verify(self, request: PushRequest) -> None:
        """Raise UnverifiedError unless the body is signed with a secret, and the signature is of now."""
        kind, instant, given = _parts(request.headers)
        sums = request.sums
        if not isinstance(sums, _Sums):
            sums = _Sums(self._secrets, kind, instant)
            sums.update(request.body)
        # All are tried, so that the time tells nothing of which one it was.
        good = [hmac.compare_digest(digest, given) for digest in sums.digests()]
        # Before the time is looked at: who cannot sign learns nothing of our clock.
        if not any(good):
            raise UnverifiedError(401, "its signature is not made with our secret, or not for this body")
        late_s = self._clock.now_ms() // 1000 - int(instant)
        if kind == "until" and late_s > TOLERANCE_S:
            raise UnverifiedError(401, f"its signature was good until {late_s} s ago")
        if kind == "t" and abs(late_s) > TOLERANCE_S:
            raise UnverifiedError(
                401, f"it was signed {late_s} s ago by our clock, more than {TOLERANCE_S} s off"
            )


def _parts(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the kind of the signature, its instant in seconds since 1970 UTC, and its digest."""
    text = headers.get(SIGNATURE_HEADER)
    if text is None:
        raise UnverifiedError(401, "it carries no signature")
    match = _FORM.fullmatch(text)
    if match is None:
        raise UnverifiedError(401, "its signature has not the form t=...,v1=... or until=...,v1=...")
    return match[1], match[2], match[3]


def _digest(secret: bytes, prefix: bytes, body: bytes) -> str:
    return hmac.new(secret, prefix + body, hashlib.sha256).hexdigest()
