from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, cast

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from google.auth import exceptions as google_exceptions
from google.oauth2 import id_token
from starlette.applications import Starlette

from headway.emulator.tokens import Tokens, from_pem, new_key, subject_of, to_pem
from headway.testing import FakeClock

ROBOT = "tasks@shop.iam.gserviceaccount.com"
RECEIVER = "https://receiver.example/jobs"
KEY = new_key()  # one for all: making it is what costs time here


class Answer:
    """What google-auth expects of its HTTP transport."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.status = HTTPStatus.OK
        self.data = json.dumps(body).encode()


def google_verifies(tokens: Tokens, token: str, audience: str) -> Any:
    def fetch(*_: Any, **__: Any) -> Any:
        return Answer(tokens.certificates())

    return id_token.verify_token(token, cast("Any", fetch), audience)


def test_googles_own_verifier_accepts_a_token() -> None:
    tokens = Tokens(KEY)

    claims = google_verifies(tokens, tokens.sign(RECEIVER, ROBOT), RECEIVER)

    assert claims["iss"] == "https://accounts.google.com"
    assert claims["email"] == ROBOT
    assert claims["email_verified"] is True
    assert claims["sub"] == claims["azp"] == subject_of(ROBOT)
    assert claims["exp"] - claims["iat"] == 3600


def test_googles_own_verifier_refuses_another_audience_and_another_key() -> None:
    token = Tokens(KEY).sign(RECEIVER, ROBOT)
    with pytest.raises((google_exceptions.GoogleAuthError, jwt.PyJWTError)):
        google_verifies(Tokens(KEY), token, "https://other.example")
    with pytest.raises((google_exceptions.GoogleAuthError, jwt.PyJWTError)):
        google_verifies(Tokens(), token, RECEIVER)


def test_the_header_names_the_key_that_the_certificates_hold() -> None:
    tokens = Tokens(KEY)

    header = jwt.get_unverified_header(tokens.sign(RECEIVER, ROBOT))

    assert header["alg"] == "RS256"
    assert [header["kid"]] == [key["kid"] for key in tokens.certificates()["keys"]]


def test_the_certificates_hold_nothing_private() -> None:
    (key,) = Tokens(KEY).certificates()["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}


def test_a_token_is_reused_for_minutes_and_never_until_it_ends() -> None:
    clock = FakeClock()
    tokens = Tokens(KEY, clock=clock)

    first = tokens.sign(RECEIVER, ROBOT)
    clock.advance(299_000)
    assert tokens.sign(RECEIVER, ROBOT) == first
    assert tokens.sign(f"{RECEIVER}/2", ROBOT) != first
    clock.advance(1_000)
    again = tokens.sign(RECEIVER, ROBOT)

    assert again != first
    claims = jwt.decode(again, options={"verify_signature": False})
    assert claims["iat"] == clock.now_ms() // 1000


def test_an_issuer_of_its_own_is_in_tokens_and_in_the_discovery_document() -> None:
    tokens = Tokens(KEY, issuer="http://127.0.0.1:8124")

    claims = jwt.decode(tokens.sign(RECEIVER, ROBOT), options={"verify_signature": False})

    assert claims["iss"] == tokens.discovery("http://127.0.0.1:8124")["issuer"] == "http://127.0.0.1:8124"


async def test_the_documents_are_served() -> None:
    tokens = Tokens(KEY)
    app = Starlette(routes=tokens.routes())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8124"
    ) as client:
        discovery = (await client.get("/.well-known/openid-configuration")).json()
        assert discovery["jwks_uri"] == "http://127.0.0.1:8124/oauth2/v3/certs"
        assert (await client.get(discovery["jwks_uri"])).json() == tokens.certificates()


def test_a_key_survives_its_text_form() -> None:
    assert Tokens(from_pem(to_pem(KEY))).certificates() == Tokens(KEY).certificates()


def test_the_text_form_of_another_kind_of_key_is_refused() -> None:
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="no RSA key"):
        from_pem(other)


def test_a_repr_shows_no_key() -> None:
    assert to_pem(KEY).decode().splitlines()[1] not in repr(Tokens(KEY))
