"""Which verifier a receiver has: what the settings say of senders."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from headway.brokers.cloudtasks.auth.hmac import SIGNATURE_HEADER, HmacVerifier
from headway.brokers.cloudtasks.auth.verifier import UnverifiedError
from headway.errors import ConfigError
from headway.settingtext import several

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import BodySums, PushRequest
    from headway.brokers.cloudtasks.auth.verifier import Verifier
    from headway.clock import Clock
    from headway.config import Settings

_log = logging.getLogger("headway.push")


class Refusing:
    """Nothing is configured that could prove anything: everything is refused."""

    async def admit(self, headers: Mapping[str, str]) -> None:
        """Raise."""
        del headers
        await self.verify(None)

    def sums(self, headers: Mapping[str, str]) -> None:
        """Return None: nothing is proven."""
        del headers

    async def verify(self, request: PushRequest | None) -> None:
        """Raise."""
        del request
        raise UnverifiedError(401, "neither service_account nor push_secret is set")


class EitherVerifier:
    """Takes a token or a signature. A request that carries a token is judged by it alone."""

    def __init__(self, tokens: Verifier, signatures: Verifier) -> None:
        self._tokens = tokens
        self._signatures = signatures

    async def admit(self, headers: Mapping[str, str]) -> None:
        """See Verifier."""
        await self._judge(headers).admit(headers)

    def sums(self, headers: Mapping[str, str]) -> BodySums | None:
        """See Verifier."""
        return self._judge(headers).sums(headers)

    async def verify(self, request: PushRequest) -> None:
        """See Verifier."""
        await self._judge(request.headers).verify(request)

    def _judge(self, headers: Mapping[str, str]) -> Verifier:
        signed = SIGNATURE_HEADER in headers and "authorization" not in headers
        return self._signatures if signed else self._tokens


def make_verifier(settings: Settings, clock: Clock) -> Verifier:
    """Return what verifies requests by these settings; ConfigError names a setting that is missing or wrong."""
    accounts, secrets = several(settings.service_account), several(settings.push_secret)
    by_token = _by_token(settings, accounts, clock) if accounts else None
    by_signature = HmacVerifier(secrets, clock) if secrets else None
    if by_token is not None and by_signature is not None:
        return EitherVerifier(by_token, by_signature)
    verifier = by_token or by_signature
    if verifier is None:
        _log.critical(
            "every request is refused: nothing says who may send jobs. Set `service_account` "
            "(HEADWAY_SERVICE_ACCOUNT) to the account of Cloud Tasks' tokens, or `push_secret` (HEADWAY_PUSH_SECRET)"
        )
        return Refusing()
    return verifier


def _by_token(settings: Settings, accounts: tuple[str, ...], clock: Clock) -> Verifier:
    audiences = (
        {settings.audience} if settings.audience else {settings.target, *settings.targets.values()} - {""}
    )
    if not audiences:
        msg = (
            "service_account is set, but not for whom its tokens are: set `target` (HEADWAY_TARGET) to this "
            "receiver's URL, or `audience` (HEADWAY_AUDIENCE)"
        )
        raise ConfigError(msg)
    try:
        from headway.brokers.cloudtasks.auth.keys import GOOGLE_KEYS, Keys  # noqa: PLC0415 - an extra
        from headway.brokers.cloudtasks.auth.oidc import GOOGLE_ISSUERS, OidcVerifier  # noqa: PLC0415 - as above
    except ImportError as error:
        msg = "verifying tokens needs the packages httpx and pyjwt: pip install 'headway[push]'"
        raise ConfigError(msg) from error
    return OidcVerifier(
        keys=Keys(settings.token_keys or GOOGLE_KEYS),
        audiences=audiences,
        service_accounts=accounts,
        issuers={settings.token_issuer} if settings.token_issuer else GOOGLE_ISSUERS,
        clock=clock,
    )
