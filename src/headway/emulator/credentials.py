"""What proves to a target who calls: a token for the account that its task names, and a signature with a secret."""

from __future__ import annotations

import hashlib
import hmac
import logging
from typing import TYPE_CHECKING, Final, Protocol

from headway.emulator.headers import replaced
from headway.emulator.model import OidcToken
from headway.emulator.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.emulator.model import OAuthToken

_log: Final = logging.getLogger("headway.emulator")

SIGNATURE_HEADER: Final = "X-Headway-Signature"
_LOGGED: Final = 100  # targets


class Signer(Protocol):
    """Makes the tokens that tasks carry."""

    def sign(self, audience: str, email: str) -> str:
        """Return an OIDC token."""
        ...

    def access_token(self, email: str, scope: str) -> str:
        """Return an OAuth access token."""
        ...


class Credentials:
    """Gives both to declared targets. To any other URL a request goes without them, and the log says so once."""

    def __init__(
        self, signer: Signer | None = None, secret: bytes | None = None, targets: Targets | None = None
    ) -> None:
        """Without a signer there are no tokens, without a secret no signatures."""
        self._signer = signer
        self._secret = secret
        self._targets = targets or Targets()
        self._logged: set[str] = set()

    def added(
        self,
        headers: Mapping[str, str],
        url: str,
        body: bytes,
        token: OidcToken | OAuthToken | None,
        *,
        now_ms: int,
    ) -> dict[str, str]:
        """Return the headers with what proves the call of this URL with this body."""
        found: dict[str, str] = {}
        if self._signer is not None and token is not None:
            found["Authorization"] = f"Bearer {_written(self._signer, token, url)}"
        if self._secret is not None:
            found[SIGNATURE_HEADER] = signature(self._secret, now_ms // 1000, body)
        if found and not self._targets.hold(url):
            self._tell(url)
            found = {}
        return replaced(headers, found)

    def _tell(self, url: str) -> None:
        place = "/".join(url.split("/", 3)[:3]).rpartition("@")[2]
        if place not in self._logged and len(self._logged) < _LOGGED:
            self._logged.add(place)
            _log.warning(
                "%s is no declared target: its requests carry no token and no signature; "
                "if it is to have them, start the emulator with --target URL",
                place[:200],
            )


def _written(signer: Signer, token: OidcToken | OAuthToken, url: str) -> str:
    if isinstance(token, OidcToken):
        return signer.sign(token.audience or url, token.email)
    return signer.access_token(token.email, token.scope)


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """Return the value of the signature's header: the time, and the HMAC of time and body."""
    digest = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
