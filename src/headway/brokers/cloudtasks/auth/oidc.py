"""OIDC: the token by which Google proves that Cloud Tasks calls on behalf of a service account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jwt

from headway.brokers.cloudtasks.auth.verifier import UnverifiedError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from headway.brokers.base import PushRequest
    from headway.brokers.cloudtasks.auth.keys import Keys
    from headway.clock import Clock

GOOGLE_ISSUERS: Final = frozenset({"https://accounts.google.com", "accounts.google.com"})
SKEW_S: Final = 30  # between Google's clock and ours
MAX_HEADER: Final = 8 * 1024  # characters: Google's tokens have a tenth of it
_REMEMBERED: Final = 64  # tokens whose signature was found good; no stranger's comes in here
_ALGORITHM: Final = "RS256"  # the only one: a token does not choose how it is checked
_STRIPPED: Final = ".SIGNATURE_REMOVED_BY_GOOGLE"


class OidcVerifier:
    """Verifies tokens: signature, issuer, audience, account, times."""

    def __init__(
        self,
        *,
        keys: Keys,
        audiences: Collection[str],
        service_accounts: Collection[str],
        clock: Clock,
        issuers: Collection[str] = GOOGLE_ISSUERS,
    ) -> None:
        """`audiences` are the ones for which tokens are accepted, `service_accounts` the accounts that may send."""
        self._keys = keys
        self._audiences = frozenset(audiences)
        self._accounts = frozenset(service_accounts)
        self._issuers = frozenset(issuers)
        self._clock = clock
        self._signed: dict[str, tuple[RSAPublicKey, dict[str, Any]]] = {}  # by token, the oldest first

    def sums(self, headers: Mapping[str, str]) -> None:
        """Return None: the body has no part in the proof."""
        del headers

    async def verify(self, request: PushRequest) -> None:
        """See `admit`: the body has no part in it."""
        await self.admit(request.headers)

    async def admit(self, headers: Mapping[str, str]) -> None:
        """Raise UnverifiedError unless the token proves the account; BrokerUnavailableError without any keys."""
        claims = await self._claims(_bearer(headers))
        issuer, audience = claims.get("iss"), claims.get("aud")
        if not isinstance(issuer, str) or issuer not in self._issuers:
            raise UnverifiedError(401, f"its token is issued by {_shown(issuer)}")
        if not isinstance(audience, str) or audience not in self._audiences:
            raise UnverifiedError(
                401, f"its token is for the audience {_shown(audience)}, not for {sorted(self._audiences)}"
            )
        self._check_times(claims)
        # Proven by now, so from here on it is a matter of who may send.
        email = claims.get("email")
        if not isinstance(email, str) or email not in self._accounts:
            raise UnverifiedError(
                403, f"its token is that of {_shown(email)}, not of {sorted(self._accounts)}"
            )
        if claims.get("email_verified") is not True:
            raise UnverifiedError(403, f"its token does not say that {_shown(email)} is verified")

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, RecursionError) as error:
            raise UnverifiedError(401, f"its token cannot be read: {error}") from error
        if header.get("alg") != _ALGORITHM:
            raise UnverifiedError(
                401, f"its token is signed with {_shown(header.get('alg'))}, not {_ALGORITHM}"
            )
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise UnverifiedError(401, "its token names no key")
        if token.endswith(_STRIPPED):
            raise UnverifiedError(401, _WHY_STRIPPED)
        key = await self._keys.find(kid)
        if key is None:
            raise UnverifiedError(
                401, f"its token is signed with the key {_shown(kid)}, which is none of the issuer's"
            )
        known = self._signed.get(token)
        if known is not None and known[0] is key:
            return known[1]
        try:
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=[_ALGORITHM], options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, RecursionError) as error:
            raise UnverifiedError(401, f"its token is not signed with that key: {error}") from error
        # Each request is judged twice, before and behind its body, and Google sends a token for many tasks.
        while len(self._signed) >= _REMEMBERED:
            del self._signed[next(iter(self._signed))]
        self._signed[token] = key, claims
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock.now_ms() / 1000
        expires = _instant(claims, "exp")
        if now > expires + SKEW_S:
            raise UnverifiedError(401, f"its token expired {now - expires:.0f} s ago")
        for name in ("iat", "nbf"):
            if name in claims or name == "iat":
                begins = _instant(claims, name)
                if now < begins - SKEW_S:
                    raise UnverifiedError(401, f"its token is valid ({name}) only in {begins - now:.0f} s")


_WHY_STRIPPED: Final = (
    "Cloud Run has checked the token itself and taken its signature off, so that nobody can check it again. Let Cloud "
    "Run pass requests on unchecked (`--no-invoker-iam-check`, with `--ingress internal`): the receiver checks each"
)
# The claims are checked here, against our own clock and without coercions.
_SIGNATURE_ONLY: Final[Any] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _bearer(headers: Mapping[str, str]) -> str:
    text = headers.get("authorization")
    if text is None:
        raise UnverifiedError(401, "it carries no token")
    if len(text) > MAX_HEADER:
        raise UnverifiedError(401, f"its Authorization header has {len(text)} characters")
    scheme, _, token = text.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnverifiedError(401, "its Authorization header has no bearer token")
    return token


def _instant(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise UnverifiedError(401, f"its token has no time in {name}")
    return value


def _shown(value: object) -> str:
    """What an unproven sender says, short enough for a log."""
    return repr(value)[:200]
