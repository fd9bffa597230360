"""The public keys of a token issuer: fetched when they are needed, kept as long as the issuer says."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from headway.errors import BrokerUnavailableError, ConfigError
from headway.text import redact

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("headway.push")

GOOGLE_KEYS: Final = "https://www.googleapis.com/oauth2/v3/certs"
_TIMEOUT: Final = 5.0  # seconds of one fetch
_MAX_BYTES: Final = 256 * 1024
_MAX_KEYS: Final = 50
_MAX_KID: Final = 200
_LEAST_BITS: Final = 2048
_LEAST_AGE: Final = 60.0  # seconds; also the pause between fetches for keys that are not known
_USUAL_AGE: Final = 3600.0
_MOST_AGE: Final = 24 * 3600.0
_AFTER_FAILURE: Final = 5.0
_MOST_STALE: Final = 24 * 3600.0
"""Seconds behind their freshness for which keys are trusted while no others can be had. A day bridges any outage of an
issuer that we have heard of; a key that was withdrawn because it leaked must not open the door for longer, and whoever
holds it may be the one who keeps us from asking."""
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s])")


class Keys:
    """The keys at a URL."""

    def __init__(
        self,
        url: str = GOOGLE_KEYS,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """ConfigError when the way to the URL is not safe. `transport` and `monotonic` are for tests."""
        self.url = checked_keys_url(url)
        self._transport = transport
        self._monotonic = monotonic
        self._keys: dict[str, RSAPublicKey] = {}
        self._fresh_until = float("-inf")
        self._fetched = float("-inf")
        self._failed = float("-inf")
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> RSAPublicKey | None:
        """Return the key of this id; None: the issuer has none. BrokerUnavailableError when no keys can be had.

        Keys that are out of date serve on, for a day at most, while new ones are fetched: nobody waits for an issuer
        that hangs. Ids that are not known, which anybody can make up, cause one fetch a minute.
        """
        if len(kid) > _MAX_KID:
            return None
        if self._keys and self._monotonic() - self._fresh_until >= _MOST_STALE:
            self._keys = {}
        known = self._keys.get(kid)
        if known is not None:
            if self._wants(kid):
                self._refresh_soon(kid)
            return known
        if self._wants(kid):
            await self._refresh(kid)
        if not self._keys:
            msg = f"the keys that tokens are checked with cannot be had from {self.url}"
            raise BrokerUnavailableError(msg)
        return self._keys.get(kid)

    def _refresh_soon(self, kid: str) -> None:
        running = self._refreshing
        if running is None or running.done() or running.get_loop() is not asyncio.get_running_loop():
            # It ends by itself, within the time of a fetch.
            self._refreshing = asyncio.create_task(self._refresh(kid), name="keys of tokens")

    async def _refresh(self, kid: str) -> None:
        async with self._lock:
            if self._wants(kid):
                await self._fetch()

    def _wants(self, kid: str) -> bool:
        now = self._monotonic()
        if now - self._failed < _AFTER_FAILURE:
            return False
        return now >= self._fresh_until or (kid not in self._keys and now - self._fetched >= _LEAST_AGE)

    async def _fetch(self) -> None:
        try:
            body, headers = await self._get()
            keys = read_keys(body)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            self._failed = self._monotonic()
            _log.warning("the keys of tokens cannot be fetched from %s: %r", self.url, error)
            return
        now = self._monotonic()
        self._keys = keys
        self._fetched = now
        self._fresh_until = now + max_age(headers.get("cache-control", ""))

    async def _get(self) -> tuple[bytes, httpx.Headers]:
        # A client for each fetch: there is one in hours, and nothing has to be closed.
        async with (
            asyncio.timeout(_TIMEOUT),
            httpx.AsyncClient(transport=self._transport, timeout=_TIMEOUT, follow_redirects=False) as client,
            client.stream("GET", self.url) as response,
        ):
            if response.status_code != 200:  # noqa: PLR2004 - OK
                msg = f"the answer is {response.status_code}"
                raise ValueError(msg)
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_BYTES:
                    msg = f"the answer has more than {_MAX_BYTES} bytes"
                    raise ValueError(msg)
            return bytes(body), response.headers


def checked_keys_url(url: str) -> str:
    """Return the URL; ConfigError unless it is https, or on this machine: who sends keys decides who sends jobs."""
    parts = urlsplit(url)
    local = parts.hostname is not None and (
        parts.hostname in {"localhost", "::1"}
        or re.fullmatch(r"127(\.\d{1,3}){3}", parts.hostname) is not None
    )
    if parts.hostname is None or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        msg = f"token_keys: must be https://..., or http:// on this machine, got {redact(url)!r}"
        raise ConfigError(msg)
    return url


def max_age(cache_control: str) -> float:
    """Return for how many seconds keys are kept, within bounds."""
    match = _MAX_AGE.search(cache_control.lower())
    return min(max(float(match[1]), _LEAST_AGE), _MOST_AGE) if match else _USUAL_AGE


class _KeySet(msgspec.Struct):
    keys: list[Any]


def read_keys(body: bytes) -> dict[str, RSAPublicKey]:
    """Read a JSON Web Key Set, the RSA keys for signatures by their ids; ValueError when there is none in it."""
    try:
        entries = msgspec.json.decode(body, type=_KeySet).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"it is no key set: {error}"
        raise ValueError(msg) from error
    keys: dict[str, RSAPublicKey] = {}
    for entry in entries[:_MAX_KEYS]:
        found = _read_key(cast("dict[str, Any]", entry)) if isinstance(entry, dict) else None
        if found is not None:
            keys[found[0]] = found[1]
    if not keys:
        msg = "it has no RSA key for signatures"
        raise ValueError(msg)
    return keys


def _read_key(fields: dict[str, Any]) -> tuple[str, RSAPublicKey] | None:
    kid = fields.get("kid")
    if (
        not isinstance(kid, str)
        or len(kid) > _MAX_KID
        or fields.get("kty") != "RSA"
        or fields.get("use", "sig") != "sig"
        or fields.get("alg", "RS256") != "RS256"
        or "d" in fields
    ):
        return None
    try:
        key = RSAAlgorithm.from_jwk({name: fields[name] for name in ("kty", "n", "e")})
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return None
    return (kid, key) if isinstance(key, RSAPublicKey) and key.key_size >= _LEAST_BITS else None
