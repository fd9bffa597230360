"""OIDC tokens as Google's dispatchers attach them, signed with a key of the emulator's own, and how to check them.

What a receiver needs is served at `/.well-known/openid-configuration` and `/oauth2/v3/certs`: it points its
verifier at the emulator's certificates instead of Google's and checks everything else as in production.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.responses import JSONResponse
from starlette.routing import Route

from headway.clock import SystemClock

if TYPE_CHECKING:
    from starlette.requests import Request

    from headway.clock import Clock

GOOGLE_ISSUER: Final = "https://accounts.google.com"
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
CERTS_PATH: Final = "/oauth2/v3/certs"

LIFETIME_S: Final = 3600
# RSA costs a millisecond a token: at 500 dispatches a second it would be half a core. A reused token stays valid for
# far longer than any dispatch deadline.
_REUSE_S: Final = 300
_KEY_BITS: Final = 2048
_ALGORITHM: Final = "RS256"


class _Signed(NamedTuple):
    token: str
    at_s: int


class Tokens:
    """Signs tokens; `issuer` is Google's unless the verifier is told otherwise."""

    def __init__(
        self,
        key: rsa.RSAPrivateKey | None = None,
        *,
        issuer: str = GOOGLE_ISSUER,
        clock: Clock | None = None,
    ) -> None:
        """Take a key, or make one that ends with this object."""
        self.issuer = issuer
        self._key = new_key() if key is None else key
        self._clock = clock or SystemClock()
        self._recent: dict[tuple[str, str], _Signed] = {}
        self._public: dict[str, Any] = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.key_id = hashlib.sha256(str(self._public["n"]).encode()).hexdigest()[:40]

    def __repr__(self) -> str:
        """Name the key, and no more of it."""
        return f"<Tokens of {self.issuer}, key {self.key_id[:8]}>"

    def sign(self, audience: str, email: str) -> str:
        """Return a token that proves to `audience` that the service account `email` calls; it holds for an hour."""
        now = self._clock.now_ms() // 1000
        recent = self._recent.get((audience, email))
        if recent is not None and recent.at_s <= now < recent.at_s + _REUSE_S:
            return recent.token
        # What is out of date goes, so that audiences with changing parameters do not add up.
        self._recent = {who: kept for who, kept in self._recent.items() if now < kept.at_s + _REUSE_S}
        subject = subject_of(email)
        claims = {
            "aud": audience,
            "azp": subject,
            "email": email,
            "email_verified": True,
            "exp": now + LIFETIME_S,
            "iat": now,
            "iss": self.issuer,
            "sub": subject,
        }
        token = jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self.key_id})
        self._recent[audience, email] = _Signed(token, now)
        return token

    def access_token(self, email: str, scope: str) -> str:
        """Return what stands for an OAuth access token: opaque, and good for nothing outside."""
        return f"emulated.{hashlib.sha256(f'{email} {scope}'.encode()).hexdigest()}"

    def certificates(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set."""
        key = {name: self._public[name] for name in ("kty", "n", "e")}
        return {"keys": [{**key, "kid": self.key_id, "use": "sig", "alg": _ALGORITHM}]}

    def discovery(self, base_url: str) -> dict[str, Any]:
        """Return the discovery document of the emulator that is reached at `base_url`."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{base_url.rstrip('/')}{CERTS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
            "claims_supported": ["aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub"],
        }

    def routes(self) -> list[Route]:
        """Return the routes of both documents."""

        async def discovery(request: Request) -> JSONResponse:
            return JSONResponse(self.discovery(str(request.base_url)))

        async def certificates(_request: Request) -> JSONResponse:
            return JSONResponse(self.certificates(), headers={"Cache-Control": "public, max-age=3600"})

        return [
            Route(DISCOVERY_PATH, discovery, methods=["GET"]),
            Route(CERTS_PATH, certificates, methods=["GET"]),
        ]


def subject_of(email: str) -> str:
    """Return the 21 digits that stand for an account, always the same ones, as Google's do."""
    number = int.from_bytes(hashlib.sha256(email.encode()).digest()[:8])
    return f"1{number % 10**20:020d}"


def new_key() -> rsa.RSAPrivateKey:
    """Make a key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)


def to_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return the key as it is kept in the state file."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def from_pem(text: bytes) -> rsa.RSAPrivateKey:
    """Return the kept key; ValueError when it is none."""
    key = serialization.load_pem_private_key(text, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        msg = "the emulator's key in the state file is no RSA key"
        raise ValueError(msg)  # noqa: TRY004 - a wrong value in a file, not a wrong type in code
    return key
