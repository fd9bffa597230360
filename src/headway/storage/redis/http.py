"""A Redis by HTTP (the REST interface of Upstash): no connection to keep, a bill by the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
from upstash_redis import http as upstash_http
from upstash_redis.asyncio import Redis
from upstash_redis.errors import UpstashError

from headway.addresses import checked_address, option_named
from headway.errors import BrokerRefusedError, ConfigError
from headway.http.client import WebClient, WebError
from headway.storage.patience import Unanswered
from headway.storage.redis.replies import explain
from headway.storage.redis.server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.storage.redis.server import Word

_PASSING: Final = 500  # from this status on, something on the way failed
_LATER: Final = frozenset({408, 425, 429})
_TOO_LARGE: Final = frozenset({413, 414, 431})
# Its annotations leave the parts of a list open.
_format = cast("Callable[[object, None], Any]", cast("Any", upstash_http).format_response)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class _Transport:
    """Stands where the client has its own: sends a command, gives back the result. See `web` for the reason."""

    def __init__(self, url: str, learnt: Callable[[str], None]) -> None:
        self._web = WebClient(url, tls=httpx.create_ssl_context)
        self._learnt = learnt

    async def execute(self, url: str, headers: dict[str, str], command: list[Word]) -> Any:  # noqa: ANN401, ARG002 - the client's call
        answer = await self._web.post(headers, json.dumps(command, ensure_ascii=False).encode())
        if answer.status >= _PASSING or answer.status in _LATER:
            msg = f"HTTP {answer.status}"
            raise WebError(msg)
        if answer.status in _TOO_LARGE:
            msg = f"HTTP {answer.status}: the value is too large"
            raise UpstashError(msg)  # from the service, or from a proxy before it
        if token := answer.headers.get("upstash-sync-token"):
            self._learnt(token)  # so that a replica does not answer with what was before our own writes
        return _format(_read_object(answer.body), None)

    async def close(self) -> None:
        await self._web.close()


class _Client(Redis):
    """The service's client, over a transport that costs a tenth."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(
            url,
            token,
            rest_encoding=None,  # all that is stored is text
            rest_retries=0,  # repeated here, where it is known that it was
            allow_telemetry=False,
        )
        self._own_http = self._http
        self._http: Any = _Transport(url, self._update_sync_token)

    async def close(self) -> None:
        await self._http.close()
        await self._own_http.close()


class HttpRedis(RedisServer):
    """A RedisServer of an `https://` or `upstash://` URL with its token as password or `?token=`."""

    def __init__(self, url: str) -> None:
        """ConfigError names what is wrong with the URL."""
        self._url, self._token = parse(url)
        super().__init__(self._url)
        self._client: _Client | None = None

    async def open(self) -> None:
        """Make ready; nothing is sent, for a command has its price."""
        if self._client is None:
            self._client = _Client(self._url, self._token)

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def _is_open(self) -> bool:
        return self._client is not None

    async def _execute(self, words: Sequence[Word]) -> Any:  # noqa: ANN401 - whatever it answers
        try:
            return await cast("Any", self._client).execute(list(words))
        except UpstashError as error:
            raise explain(self._url, str(error)) from error
        except (WebError, KeyError) as error:
            # Something between here and there answered in its stead, or nothing did.
            raise Unanswered(f"{type(error).__name__} {error}".strip()) from error
        except UnicodeError as error:
            msg = f"{self._url}: a value cannot be stored: {error}"
            raise BrokerRefusedError(msg) from error


def _read_object(body: bytes) -> dict[str, Any]:
    """Read the service's answer, an object in each case; WebError: it is that of something in between."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        msg = f"the answer is no JSON: {error}"
        raise WebError(msg) from error
    if not isinstance(value, dict):
        msg = f"the answer is JSON, but no object: {body[:40]!r}"
        raise WebError(msg)
    return cast("dict[str, Any]", value)


def parse(url: str) -> tuple[str, str]:
    """Return the address and the token of a URL; ConfigError never repeats the token."""
    checked_address(url, "HTTP Redis")
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "upstash" else parts.scheme
    host, port = parts.hostname or "", parts.port
    if not host:
        msg = "HTTP Redis: the URL names no host: write https://:TOKEN@host"
        raise ConfigError(msg)
    shown = f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    if scheme == "http" and host not in _LOOPBACK:
        msg = f"{shown}: a token must not travel in plain text: write https:// (http:// is for this machine only)"
        raise ConfigError(msg)
    options = parse_qs(parts.query)
    token = (options.pop("token", None) or [unquote(parts.password or parts.username or "")])[-1]
    if options:
        msg = f"{shown}: unknown {option_named(min(options))}; there is token"
        raise ConfigError(msg)
    if not token or not token.isascii() or not token.isprintable():
        msg = f"{shown} needs its token: write https://:TOKEN@host or https://host?token=TOKEN"
        raise ConfigError(msg)
    return shown + parts.path.rstrip("/"), token
