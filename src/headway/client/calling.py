"""One call of the API: sent, sent again where that is safe, its answer read."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import uuid4

import httpx
import msgspec

from headway.client.errors import ApiError, ApiUnavailableError
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_PREFIX: Final = "urn:headway:problem:"
_LONGEST_PAUSE: Final = 10.0
_AGAIN: Final = frozenset({429, 502, 503, 504})
# The first call is under way, or was: its answer is what is asked for.
_IN_USE: Final = "idempotency-key-in-use"


class Calling:
    """Sends calls over one pool of connections."""

    def __init__(
        self, url: str, key: str | None, *, attempts: int, timeout: float, http: httpx.AsyncClient | None
    ) -> None:
        if not url.startswith(("http://", "https://")):
            msg = f"the server's URL must begin with http:// or https://, got {url[:100]!r}"
            raise ConfigError(msg)
        self._url = url.rstrip("/")
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._attempts = max(1, attempts)
        self._timeout = timeout
        self._given = http
        self._http: httpx.AsyncClient | None = http

    def __repr__(self) -> str:
        """Show where, without the key."""
        return f"<Calling {self._url}>"

    async def open(self) -> None:
        """Make the pool."""
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=self._timeout, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections, unless they were given."""
        http, self._http = self._http, self._given
        if http is not None and self._given is None:
            await http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        wait: float = 0.0,
        idempotency_key: str | None = None,
    ) -> T:
        """Make a call, and read its answer as `kind`; ApiError, ApiUnavailableError.

        A call that changes something has an idempotency key, its own unless one is given, and is sent again under it.
        """
        headers = dict(self._headers)
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["content-type"] = "application/json"
        if method == "POST":
            headers["idempotency-key"] = idempotency_key or uuid4().hex
        timeout = httpx.Timeout(self._timeout, read=self._timeout + wait)
        params, url = pairs(query), f"{self._url}{path}"
        for left in reversed(range(self._attempts)):
            pause = 0.2 * 2 ** (self._attempts - left - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            try:
                answer = await self.http.request(
                    method, url, params=params, content=content, headers=headers, timeout=timeout
                )
            except httpx.TransportError as error:
                if not left:
                    msg = f"{self._url} cannot be reached: {type(error).__name__}"
                    raise ApiUnavailableError(0, "unreachable", msg) from error
            else:
                if answer.is_success:
                    return read(answer, kind)
                error_ = problem_of(answer.status_code, answer.content)
                if not left or not (answer.status_code in _AGAIN or error_.kind == _IN_USE):
                    raise error_
                pause = max(pause, _seconds(answer.headers.get("retry-after", "")))
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
        raise AssertionError  # the last attempt returns or raises

    @property
    def http(self) -> httpx.AsyncClient:
        """The pool."""
        if self._http is None:
            msg = "the client is not open: use `async with client:`"
            raise ConfigError(msg)
        return self._http

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._url

    @property
    def headers(self) -> dict[str, str]:
        """What each call has."""
        return dict(self._headers)


def read(answer: httpx.Response, kind: type[T]) -> T:
    """Read an answer; ApiError when it is not what it must be: another server, or a proxy's own page."""
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"the answer is not that of a Headway server: {error}"
        raise ApiError(answer.status_code, "unreadable", msg) from error


def problem_of(status: int, content: bytes) -> ApiError:
    """Return the error that an answer tells of."""
    try:
        found = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        found = {}
    kind = str(found.get("type", "http")).removeprefix(_PREFIX)
    error = ApiUnavailableError if status in _AGAIN and status != 429 else ApiError  # noqa: PLR2004 - of HTTP
    return error(status, kind, str(found.get("detail", "")), found)


def pairs(query: Mapping[str, Any] | None) -> httpx.QueryParams:
    """Return a query as names and texts; what is None is left out, of several values each is named."""
    found: dict[str, list[str]] = {}
    for name, value in (query or {}).items():
        several = cast("list[Any]", value if isinstance(value, list | tuple | set | frozenset) else [value])
        if given := [_text(one) for one in several if one is not None]:
            found[name] = given
    return httpx.QueryParams(found)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(msgspec.to_builtins(value))


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0.0  # noqa: PLR2004 - digits
