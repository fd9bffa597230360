"""Signatures, and which verifier the settings make."""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import timedelta

import pytest
from msgspec import structs

from headway.brokers.base import BrokerSettings, PushRequest
from headway.brokers.cloudtasks.auth.choice import EitherVerifier, Refusing, make_verifier
from headway.brokers.cloudtasks.auth.hmac import HmacVerifier, sign_until
from headway.brokers.cloudtasks.auth.oidc import OidcVerifier
from headway.brokers.cloudtasks.auth.verifier import UnverifiedError
from headway.brokers.cloudtasks.target import Target
from headway.config import Settings
from headway.errors import ConfigError
from headway.guards.document import PushedJob
from headway.job import NewJob, new_job_id
from headway.testing import FakeClock

SECRET = "of sender and receiver"
CLOCK = FakeClock()
NOW = CLOCK.now_ms() // 1000


def signed(body: bytes = b"body", at: int | str = NOW, secret: str = SECRET) -> str:
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def request(signature: str | None, body: bytes = b"body", **headers: str) -> PushRequest:
    return PushRequest(headers if signature is None else {**headers, "x-headway-signature": signature}, body)


async def refusal(signature: str | None, body: bytes = b"body") -> str:
    with pytest.raises(UnverifiedError) as raised:
        await HmacVerifier([SECRET], CLOCK).verify(request(signature, body))
    assert raised.value.status == 401
    assert SECRET not in str(raised.value)
    return str(raised.value)


async def test_what_is_signed_with_the_secret_is_taken() -> None:
    verifier = HmacVerifier([SECRET], CLOCK)
    for at in (NOW, NOW - 300, NOW + 300):
        await verifier.verify(request(signed(at=at)))
    await verifier.verify(request(signed(b""), b""))
    assert SECRET not in repr(verifier)


async def test_what_is_stored_and_sent_later_carries_a_date() -> None:
    clock = FakeClock()
    one = request(sign_until(SECRET.encode(), b"body", NOW + 86_400))
    verifier = HmacVerifier([SECRET], clock)
    await verifier.verify(one)
    clock.advance(timedelta(days=1, seconds=300))
    await verifier.verify(one)
    clock.advance(timedelta(seconds=1))
    with pytest.raises(UnverifiedError, match="was good until"):
        await verifier.verify(one)


async def test_the_secret_can_be_replaced_while_tasks_signed_with_the_old_one_wait() -> None:
    """A task waits for up to 30 days with the signature that it was created with."""
    made = BrokerSettings("shop", options=Settings(target="https://x.example/", push_secret=SECRET))
    spec = Target(made).spec(PushedJob(NewJob(new_job_id(), "add", "mail", b"payload"), 0), CLOCK.now_ms())
    waiting = PushRequest({name.lower(): value for name, value in spec.headers.items()}, spec.body)
    push = Settings(target="https://x.example/", push_secret=f"the new one, {SECRET}")
    verifier = make_verifier(push, CLOCK)
    await verifier.verify(waiting)
    await verifier.verify(request(signed(secret="the new one")))
    for wrong in ("", ",", push.push_secret, "the new one,", "third"):
        with pytest.raises(UnverifiedError) as raised:
            await verifier.verify(request(signed(secret=wrong)))
        assert SECRET not in str(raised.value)
    for shown in (repr(verifier), repr(push)):
        assert SECRET not in shown
        assert "the new one" not in shown
    # From now on tasks are signed with the first one, and when no old task waits any more the old one goes.
    spec = Target(structs.replace(made, options=push)).spec(
        PushedJob(NewJob(new_job_id(), "add", "mail", b"payload"), 0), CLOCK.now_ms()
    )
    alone = HmacVerifier(["the new one"], CLOCK)
    await alone.verify(PushRequest({name.lower(): value for name, value in spec.headers.items()}, spec.body))
    with pytest.raises(UnverifiedError):
        await alone.verify(waiting)


async def test_what_carries_no_signature_sends_no_body() -> None:
    verifier = HmacVerifier([SECRET], CLOCK)
    await verifier.admit({"x-headway-signature": signed(b"any body")})
    for headers in ({}, {"x-headway-signature": "t=1,v1=xyz"}):
        with pytest.raises(UnverifiedError):
            await verifier.admit(headers)


@pytest.mark.parametrize("secret", ["", ",", " , "])
def test_an_empty_secret_verifies_nothing(secret: str) -> None:
    assert isinstance(make_verifier(Settings(push_secret=secret), CLOCK), Refusing)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "v1=" + "0" * 64,
        signed().upper(),
        signed() + " ",
        signed() + ", " + signed(),
        signed(at="٣"),
        "t=,v1=" + "0" * 64,
        "t=1,v1=xyz",
    ],
)
async def test_what_has_not_the_form_of_a_signature_is_refused(signature: str | None) -> None:
    assert "signature" in await refusal(signature)


async def test_other_bodies_secrets_and_instants_are_refused() -> None:
    assert "our secret" in await refusal(signed(), b"other body")
    assert "our secret" in await refusal(signed(secret="another"))
    assert "our secret" in await refusal(signed(at=NOW).replace(str(NOW), str(NOW + 1)))
    assert "signed 301 s ago" in await refusal(signed(at=NOW - 301))
    assert "signed -301 s ago" in await refusal(signed(at=NOW + 301))


async def test_a_signature_of_now_cannot_be_made_one_with_a_date() -> None:
    for a, b in (("t=", "until="), ("until=", "t=")):
        one = signed() if a == "t=" else sign_until(SECRET.encode(), b"body", NOW)
        assert "our secret" in await refusal(one.replace(a, b, 1))


async def test_without_anything_that_proves_everything_is_refused_and_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.CRITICAL):
        verifier = make_verifier(Settings(), CLOCK)
    assert "service_account" in caplog.text
    assert "push_secret" in caplog.text
    for one in (request(None), request(signed()), request(None, authorization="Bearer x")):
        with pytest.raises(UnverifiedError):
            await verifier.verify(one)


def test_the_settings_choose() -> None:
    assert isinstance(make_verifier(Settings(push_secret=SECRET), CLOCK), HmacVerifier)
    tokens = Settings(service_account="a@b", target="https://x.example/")
    assert isinstance(make_verifier(tokens, CLOCK), OidcVerifier)
    both = Settings(service_account="a@b", audience="x", push_secret=SECRET)
    assert isinstance(make_verifier(both, CLOCK), EitherVerifier)


def test_a_setting_that_is_missing_or_unsafe_is_named() -> None:
    with pytest.raises(ConfigError, match="HEADWAY_AUDIENCE"):
        make_verifier(Settings(service_account="a@b"), CLOCK)
    with pytest.raises(ConfigError, match="token_keys"):
        make_verifier(Settings(service_account="a@b", audience="x", token_keys="http://x.example"), CLOCK)


async def test_with_both_a_token_is_not_made_good_by_a_signature() -> None:
    both = make_verifier(Settings(service_account="a@b", audience="x", push_secret=SECRET), CLOCK)
    await both.verify(request(signed()))
    for one in (request(signed(), authorization="Bearer x"), request(None), request(signed(b"other"))):
        with pytest.raises(UnverifiedError):
            await both.verify(one)
