"""Tokens: the right one is taken, each fault is refused, and the keys are fetched as seldom as may be."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any, NoReturn

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from headway.brokers.base import PushRequest
from headway.brokers.cloudtasks.auth.choice import make_verifier
from headway.brokers.cloudtasks.auth.keys import Keys, checked_keys_url, max_age, read_keys
from headway.brokers.cloudtasks.auth.oidc import OidcVerifier
from headway.brokers.cloudtasks.auth.verifier import UnverifiedError
from headway.config import Settings
from headway.errors import BrokerUnavailableError, ConfigError
from headway.testing import FakeClock

URL = "https://jobs.example/push"
ACCOUNT = "tasks@shop.iam.gserviceaccount.com"
CLOCK = FakeClock()
NOW = CLOCK.now_ms() // 1000
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
CLAIMS: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "aud": URL,
    "email": ACCOUNT,
    "email_verified": True,
    "iat": NOW,
    "exp": NOW + 3600,
    "sub": "1",
    "azp": "1",
}


def jwk(key: rsa.RSAPrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    return {
        **RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
        "kid": kid,
        "use": "sig",
        "alg": "RS256",
        **more,
    }


class Issuer:
    """Answers with its keys, and counts how often it was asked."""

    def __init__(self, *keys: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.keys = list(keys) or [jwk(KEY, "one")]
        self.headers = headers or {"Cache-Control": "public, max-age=3600"}
        self.status = 200
        self.body: bytes | None = None
        self.asked = 0
        self.asking = asyncio.Event()
        self.hangs: asyncio.Event | None = None
        self.now = 1000.0
        self.store = Keys(
            "https://issuer.example/certs",
            transport=httpx.MockTransport(self._answer),
            monotonic=lambda: self.now,
        )

    async def refreshed(self) -> None:
        """Wait for the end of what is fetched in the background."""
        if (task := self.store._refreshing) is not None:
            await asyncio.wait([task])

    async def _answer(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.hangs is not None:
            self.asking.set()
            await self.hangs.wait()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return httpx.Response(self.status, content=body, headers=self.headers)

    def verifier(self) -> OidcVerifier:
        return OidcVerifier(keys=self.store, audiences=[URL], service_accounts=[ACCOUNT], clock=CLOCK)


def token(
    key: Any = KEY, *, kid: str | None = "one", alg: str = "RS256", without: str = "", **claims: Any
) -> str:
    merged = {name: value for name, value in {**CLAIMS, **claims}.items() if name != without}
    return jwt.encode(merged, key, algorithm=alg, headers={"kid": kid} if kid is not None else {})


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def part_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_with_the_public_key() -> str:
    """The old confusion: HS256, and the public key's text as its secret."""
    import hashlib  # noqa: PLC0415 - here only
    import hmac  # noqa: PLC0415 - as above

    text = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'one'})}.{part(CLAIMS)}"
    mac = hmac.new(PUBLIC_PEM, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def request(authorization: str | None) -> PushRequest:
    return PushRequest({} if authorization is None else {"authorization": authorization}, b"body")


async def refused(authorization: str | None, issuer: Issuer | None = None) -> UnverifiedError:
    with pytest.raises(UnverifiedError) as raised:
        await (issuer or Issuer()).verifier().verify(request(authorization))
    return raised.value


async def test_a_token_of_google_is_taken() -> None:
    issuer = Issuer()
    verifier = issuer.verifier()
    for one in (token(), token(iss="accounts.google.com"), token(nbf=NOW)):
        await verifier.verify(request(f"Bearer {one}"))
    await verifier.verify(request(f"bearer {token()}"))
    assert issuer.asked == 1


async def test_the_clocks_may_differ_by_half_a_minute() -> None:
    verifier = Issuer().verifier()
    await verifier.verify(request(f"Bearer {token(exp=NOW - 29)}"))
    await verifier.verify(request(f"Bearer {token(iat=NOW + 29, nbf=NOW + 29)}"))


FAULTS: dict[str, tuple[str, int]] = {
    "wrong audience": (token(aud="https://other.example/"), 401),
    "several audiences": (token(aud=[URL, "https://other.example/"]), 401),
    "no audience": (token(without="aud"), 401),
    "wrong issuer": (token(iss="https://evil.example"), 401),
    "no issuer": (token(without="iss"), 401),
    "issuer that is no text": (token(without="iss", extra=1), 401),
    "wrong email": (token(email="other@shop.iam.gserviceaccount.com"), 403),
    "no email": (token(without="email"), 403),
    "email in other letters": (token(email=ACCOUNT.upper()), 403),
    "email not verified": (token(email_verified=False), 403),
    "email verified as a text": (token(email_verified="true"), 403),
    "email verified not said": (token(without="email_verified"), 403),
    "expired": (token(exp=NOW - 31), 401),
    "no expiry": (token(without="exp"), 401),
    "expiry as a text": (token(exp=str(NOW + 60)), 401),
    "expiry beyond numbers": (token(exp=1e300), 401),
    "not yet valid": (token(nbf=NOW + 31), 401),
    "issued in the future": (token(iat=NOW + 31), 401),
    "no instant of issue": (token(without="iat"), 401),
    "another's key": (token(OTHER_KEY), 401),
    "unknown key": (token(OTHER_KEY, kid="two"), 401),
    "no key named": (token(kid=None), 401),
    "key id without end": (token(kid="k" * 1000), 401),
    "algorithm none": (jwt.encode(CLAIMS, "", algorithm="none", headers={"kid": "one"}), 401),
    "algorithm HS256, the public key as secret": (signed_with_the_public_key(), 401),
    "another RSA algorithm": (token(alg="RS512"), 401),
    "unsigned": (f"{part({'alg': 'RS256', 'kid': 'one'})}.{part(CLAIMS)}.", 401),
    "signature of other claims": (".".join([*token().split(".")[:2], token(sub="2").split(".")[2]]), 401),
    "claims changed": (
        ".".join([token().split(".")[0], part({**CLAIMS, "sub": "9"}), token().split(".")[2]]),
        401,
    ),
    "claims that are no object": (f"{part({'alg': 'RS256', 'kid': 'one'})}.WzFd.AAAA", 401),
    "critical extension": (jwt.encode(CLAIMS, KEY, "RS256", headers={"kid": "one", "crit": ["x"]}), 401),
    "two parts": (token().rpartition(".")[0], 401),
    "no token": ("", 401),
    "text": ("not.a.token", 401),
    "a header nested without end": (f"{part_of(b'[' * 5000)}.e30.AAAA", 401),
    "not ASCII": ("ä.ö.ü", 401),
    "oversized": ("a" * 9000, 401),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_refused(fault: str) -> None:
    text, status = FAULTS[fault]
    error = await refused(f"Bearer {text}")
    assert error.status == status
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        f"Token {token()}",
        token(),
        f"Bearer {token()}, Bearer {token()}",
    ],
)
async def test_what_is_no_bearer_token_is_refused(authorization: str | None) -> None:
    assert (await refused(authorization)).status == 401


async def test_an_oversized_header_costs_no_look_at_it() -> None:
    issuer = Issuer()
    error = await refused(f"Bearer {token(padding='x' * 9000)}", issuer)
    assert "characters" in str(error)
    assert issuer.asked == 0


async def test_a_signature_that_cloud_run_took_off_is_explained() -> None:
    stripped = token().rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"
    assert "--no-invoker-iam-check" in str(await refused(f"Bearer {stripped}"))


async def test_forged_algorithms_ask_for_no_key() -> None:
    issuer = Issuer()
    for fault in ("algorithm none", "algorithm HS256, the public key as secret", "no key named"):
        await refused(f"Bearer {FAULTS[fault][0]}", issuer)
    assert issuer.asked == 0


async def test_keys_are_kept_as_long_as_the_issuer_says() -> None:
    issuer = Issuer(headers={"Cache-Control": "public, max-age=600, must-revalidate"})
    assert await issuer.store.find("one") is not None
    issuer.now += 599
    await issuer.store.find("one")
    assert issuer.asked == 1
    issuer.now += 2
    await issuer.store.find("one")
    await issuer.refreshed()
    assert issuer.asked == 2
    await issuer.store.find("one")
    await issuer.refreshed()
    assert issuer.asked == 2


async def test_a_new_key_is_fetched_and_made_up_ones_cost_one_fetch_a_minute() -> None:
    issuer = Issuer()
    await issuer.store.find("one")
    issuer.keys.append(jwk(OTHER_KEY, "two"))
    issuer.now += 61
    assert await issuer.store.find("two") is not None
    assert issuer.asked == 2
    for n in range(100):
        assert await issuer.store.find(f"made up {n}") is None
    assert issuer.asked == 2
    issuer.now += 61
    assert await issuer.store.find("made up") is None
    assert issuer.asked == 3


async def test_old_keys_serve_while_new_ones_cannot_be_had() -> None:
    issuer = Issuer()
    await issuer.store.find("one")
    issuer.status = 503
    issuer.now += 4000
    for _ in range(2):
        assert await issuer.store.find("one") is not None
        await issuer.refreshed()
        assert issuer.asked == 2
    issuer.now += 6
    await issuer.store.find("one")
    await issuer.refreshed()
    assert issuer.asked == 3


async def test_nobody_waits_for_an_issuer_that_hangs_while_good_keys_are_held() -> None:
    issuer = Issuer()
    await issuer.store.find("one")
    issuer.hangs = asyncio.Event()
    issuer.now += 4000
    for _ in range(10):
        # Ten turns of the loop would not be enough for any answer, and here there is none.
        await issuer.verifier().verify(request(f"Bearer {token()}"))
    await issuer.asking.wait()
    assert issuer.asked == 2
    issuer.keys = [jwk(OTHER_KEY, "two")]
    issuer.hangs.set()
    await issuer.refreshed()
    assert await issuer.store.find("two") is not None
    assert await issuer.store.find("one") is None
    assert issuer.asked == 2


async def test_old_keys_are_trusted_for_a_day() -> None:
    """A key that was withdrawn because it leaked: whoever holds it may keep us from asking for others."""
    issuer = Issuer()
    await issuer.store.find("one")
    issuer.status = 503
    issuer.now += 3600 + 24 * 3600 - 1
    assert await issuer.store.find("one") is not None
    await issuer.refreshed()
    issuer.now += 6
    with pytest.raises(BrokerUnavailableError, match="issuer"):
        await issuer.store.find("one")
    issuer.status = 200
    issuer.now += 6
    assert await issuer.store.find("one") is not None


async def test_a_token_is_judged_anew_when_its_key_is_gone() -> None:
    issuer = Issuer()
    verifier = issuer.verifier()
    one = request(f"Bearer {token()}")
    await verifier.verify(one)
    issuer.keys = [jwk(OTHER_KEY, "one")]
    issuer.now += 4000
    await verifier.verify(one)
    await issuer.refreshed()
    with pytest.raises(UnverifiedError, match="not signed with that key"):
        await verifier.verify(one)


async def test_only_so_many_tokens_are_remembered() -> None:
    verifier = Issuer().verifier()
    for n in range(100):
        await verifier.verify(request(f"Bearer {token(sub=str(n))}"))
    assert len(verifier._signed) == 64


async def test_the_headers_alone_prove_it() -> None:
    verifier = Issuer().verifier()
    await verifier.admit({"authorization": f"Bearer {token()}"})
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Bearer {token(OTHER_KEY)}"}):
        with pytest.raises(UnverifiedError):
            await verifier.admit(headers)


async def test_the_account_can_be_replaced_while_tasks_of_the_old_one_wait() -> None:
    push = Settings(service_account=f"new@x.example, {ACCOUNT}", audience=URL)
    verifier = make_verifier(push, CLOCK)
    assert isinstance(verifier, OidcVerifier)
    verifier._keys = Issuer().store
    for email in ("new@x.example", ACCOUNT):
        await verifier.verify(request(f"Bearer {token(email=email)}"))
    others: list[Any] = ["third@x.example", push.service_account, "", [ACCOUNT], {"x": 1}]
    for other in others:
        with pytest.raises(UnverifiedError) as raised:
            await verifier.verify(request(f"Bearer {token(email=other)}"))
        assert raised.value.status == 403


async def test_without_any_keys_the_request_is_neither_taken_nor_refused() -> None:
    issuer = Issuer()
    issuer.status = 500
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError, match="issuer"):
            await issuer.verifier().verify(request(f"Bearer {token()}"))
    assert issuer.asked == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"keys": 3}',
        b'{"keys": [3, {}]}',
        b'{"keys": []}',
        b"\xff",
        b"[" * 100_000,
        b"x" * 300_000,
    ],
)
async def test_a_damaged_key_set_is_no_key_set(body: bytes) -> None:
    issuer = Issuer()
    issuer.body = body
    with pytest.raises(BrokerUnavailableError):
        await issuer.store.find("one")


async def test_an_unreachable_issuer_is_no_crash() -> None:
    def fail(_request: httpx.Request) -> NoReturn:
        msg = "no route"
        raise httpx.ConnectError(msg)

    with pytest.raises(BrokerUnavailableError):
        await Keys("https://issuer.example/", transport=httpx.MockTransport(fail)).find("one")


def test_only_public_rsa_keys_for_signatures_are_read() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
    document = {
        "keys": [
            jwk(KEY, "good"),
            jwk(KEY, "encrypts", use="enc"),
            jwk(KEY, "other", alg="RS512"),
            {**RSAAlgorithm.to_jwk(KEY, as_dict=True), "kid": "private"},
            jwk(small, "small"),
            jwk(KEY, "k" * 201),
            {"kid": "secret", "kty": "oct", "k": "c2VjcmV0"},
            {"kid": "damaged", "kty": "RSA", "n": "!", "e": 3},
            {"kid": "none", "kty": "RSA"},
        ]
    }
    assert set(read_keys(json.dumps(document).encode())) == {"good"}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=20000", 20000.0),
        ("public, Max-Age=21600, must-revalidate", 21600.0),
        ("no-cache", 3600.0),
        ("", 3600.0),
        ("max-age=0", 60.0),
        ("max-age=999999999", 86400.0),
        ("s-maxage=5", 3600.0),
        ("max-age=-1", 3600.0),
    ],
)
def test_how_long_keys_are_kept(header: str, seconds: float) -> None:
    assert max_age(header) == seconds


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/",
        "ftp://x/",
        "",
        "https://",
        "http://127.evil.example/",
        "http://localhost.evil/",
    ],
)
def test_keys_come_by_a_safe_way_only(url: str) -> None:
    with pytest.raises(ConfigError, match="token_keys"):
        checked_keys_url(url)


@pytest.mark.parametrize(
    "url", ["https://x.example/", "http://127.0.0.1:8/", "http://localhost:8/", "http://[::1]:8/"]
)
def test_this_machine_needs_no_tls(url: str) -> None:
    assert checked_keys_url(url) == url


async def test_time_passes_by_our_clock() -> None:
    clock = FakeClock()
    verifier = OidcVerifier(keys=Issuer().store, audiences=[URL], service_accounts=[ACCOUNT], clock=clock)
    one = request(f"Bearer {token()}")
    clock.advance(timedelta(seconds=3630))
    await verifier.verify(one)
    clock.advance(timedelta(seconds=2))
    with pytest.raises(UnverifiedError, match="expired"):
        await verifier.verify(one)
