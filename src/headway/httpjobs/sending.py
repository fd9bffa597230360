"""One attempt of a call: its requests, redirects included, and the answer as far as it is kept."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import TYPE_CHECKING, Final

import httpcore
from msgspec import Struct

from headway.httpjobs.connecting import GuardedNetwork, tls
from headway.httpjobs.errors import HttpRefusedError, HttpUnavailableError
from headway.httpjobs.policy import is_named
from headway.httpjobs.request import HttpResult
from headway.httpjobs.secrets import filled, hidden, names_in
from headway.httpjobs.target import Target, follow, read_target

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from headway.httpjobs.guard import Guard
    from headway.httpjobs.policy import HttpPolicy
    from headway.httpjobs.request import HttpCall

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SEE_OTHER: Final = 303
_MOVED: Final = frozenset({301, 302})
_MOST_HEADERS: Final = 64
_MOST_VALUE: Final = 1024
_BEHIND: Final = 4096  # bytes read behind what is kept: a secret that is cut in two would not be found
_CUT: Final = 3  # bytes of a character that was cut in two
_NOT_KEPT: Final = frozenset({"set-cookie", "set-cookie2"})
_OF_THE_BODY: Final = frozenset({"content-type", "content-encoding", "content-language"})
_OF_AN_ORIGIN: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


class Answer(Struct, frozen=True):
    """An answer: its result, and how long it asks to be left alone."""

    result: HttpResult
    retry_after: str = ""


class _Request(Struct, frozen=True):
    method: str
    target: Target
    headers: dict[str, str]  # with references in the place of secrets
    content: bytes | None


class Sender:
    """Makes the requests of a worker, a connection each: nothing of one call is left for the next."""

    def __init__(self, policy: HttpPolicy, guard: Guard) -> None:
        """Certificates are read with the first call."""
        self._policy = policy
        self._guard = guard
        self._tls: ssl.SSLContext | None = None

    async def send(self, call: HttpCall, extra: Mapping[str, str], secrets: Mapping[str, str]) -> Answer:
        """Make one attempt within the call's time; `extra` are headers of ours, `secrets` the values by name.

        HttpRefusedError; HttpUnavailableError when no whole answer came.
        """
        try:
            async with asyncio.timeout(call.timeout):
                return await self._send(call, extra, secrets)
        except TimeoutError:
            msg = f"no whole answer from {read_target(call.url).host} within {call.timeout:g} s"
            raise HttpUnavailableError(msg) from None

    async def _send(self, call: HttpCall, extra: Mapping[str, str], secrets: Mapping[str, str]) -> Answer:
        began = time.monotonic()
        content, kind = call.content()
        given = {name.lower() for name in call.headers}
        headers = {name: value for name, value in extra.items() if name.lower() not in given} | call.headers
        if kind and "content-type" not in given:
            headers["Content-Type"] = kind
        request = _Request(call.method, read_target(call.url), headers, content)
        for redirects in range(call.redirects + 1):
            status, raw, body, more = await self._exchange(request, secrets, call.keep)
            location = raw.get("location", "")
            if status not in _REDIRECTS or not location or not call.redirects:
                text, encoded, truncated = _kept_body(body, secrets, call.keep, more=more)
                result = HttpResult(
                    status=status,
                    headers=_kept_headers(raw, secrets),
                    body=text,
                    base64=encoded,
                    truncated=truncated,
                    url=request.target.url,
                    redirects=redirects,
                    seconds=round(time.monotonic() - began, 3),
                )
                return Answer(result, raw.get("retry-after", ""))
            request = _redirected(request, status, location)
        msg = f"more than {call.redirects} redirects, the last one to {request.target.host}"
        raise HttpRefusedError(msg)

    async def _exchange(
        self, request: _Request, secrets: Mapping[str, str], keep: int
    ) -> tuple[int, dict[str, str], bytes, bool]:
        """Make one request; return the status, the headers, the first bytes, and whether there are more."""
        target = request.target
        headers = await self._with_secrets(request, secrets)
        lines = [
            (b"Host", target.authority.encode()),
            (b"Accept-Encoding", b"identity"),
            (b"Connection", b"close"),
        ]
        lines += [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        if request.content is not None or request.method in {"POST", "PUT", "PATCH"}:
            lines.append((b"Content-Length", b"%d" % len(request.content or b"")))
        url = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path.encode()
        )
        made = httpcore.Request(request.method, url, headers=lines, content=request.content or b"")
        try:
            async with await self._pool(target) as pool:
                response = await pool.handle_async_request(made)
                try:
                    body, more = await _first(response, keep + _BEHIND)
                finally:
                    await response.aclose()
        except (
            httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.ProxyError, OSError,
        ) as error:  # fmt: skip
            msg = f"{target.host}: {type(error).__name__}: {hidden(str(error), secrets)}"
            raise HttpUnavailableError(msg) from None
        return response.status, _joined(response.headers), body, more

    async def _with_secrets(self, request: _Request, secrets: Mapping[str, str]) -> dict[str, str]:
        """Put in the secrets, if they may go to this host, and in the clear only to one that the operator named."""
        named = {name for value in request.headers.values() for name in names_in(value)}
        target = request.target
        for name in sorted(named):
            hosts = self._policy.secret_hosts.get(name)
            if hosts is not None and not is_named(target.host, hosts):
                msg = f"secret {name!r} may not be sent to host {target.host!r}"
                raise HttpRefusedError(msg)
        if named and target.scheme == "http":
            checked = await self._guard.check(target.host, target.port)
            if not checked.trusted:
                msg = f"secret {min(named)!r} may not be sent to {target.host!r} without TLS: write https://"
                raise HttpRefusedError(msg)
        return {name: filled(value, secrets) for name, value in request.headers.items()}

    async def _pool(self, target: Target) -> httpcore.AsyncConnectionPool:
        """Return what makes the one connection of a request."""
        if self._tls is None and target.scheme == "https":
            self._tls = await asyncio.to_thread(tls, self._policy.ca_file)
        if self._policy.proxy:
            # It connects for us, and looks the name up once more: this much can be said of it beforehand.
            await self._guard.check(target.host, target.port)
            return httpcore.AsyncHTTPProxy(self._policy.proxy, ssl_context=self._tls, max_connections=1)
        return httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=GuardedNetwork(self._guard),
        )


async def _first(response: httpcore.Response, most: int) -> tuple[bytes, bool]:
    """Read the first bytes of a body, and no more than these and a chunk; tell whether there are more."""
    found = bytearray()
    async for chunk in response.aiter_stream():
        found += chunk[: most + 1 - len(found)]
        if len(found) > most:
            return bytes(found[:most]), True
    return bytes(found), False


def _redirected(request: _Request, status: int, location: str) -> _Request:
    try:
        target = follow(request.target, location)
    except ValueError as error:
        msg = f"a redirect of {request.target.host} leads nowhere: {error}"
        raise HttpRefusedError(msg) from error
    if request.target.scheme == "https" and target.scheme == "http":
        msg = f"a redirect of {request.target.host} leads from https to http"
        raise HttpRefusedError(msg)
    headers, method, content = request.headers, request.method, request.content
    if status == _SEE_OTHER or (status in _MOVED and method == "POST"):
        method = "HEAD" if method == "HEAD" else "GET"
        content = None
        headers = {name: value for name, value in headers.items() if name.lower() not in _OF_THE_BODY}
    if target.origin != request.target.origin:
        headers = {
            name: value
            for name, value in headers.items()
            if name.lower() not in _OF_AN_ORIGIN and not names_in(value)
        }
    return _Request(method, target, headers, content)


def _joined(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found and key != "location" else text
    return found


def _kept_headers(raw: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in raw.items() if name not in _NOT_KEPT}
    return {name: hidden(value, secrets)[:_MOST_VALUE] for name, value in list(kept.items())[:_MOST_HEADERS]}


def _kept_body(body: bytes, secrets: Mapping[str, str], keep: int, *, more: bool) -> tuple[str, bool, bool]:
    """Return what is kept of a body: the text, whether that is Base64, and whether there was more."""
    # As Latin-1 each byte is a character: so secrets are found in any encoding that writes ASCII as itself.
    clean = hidden(
        body.decode("latin-1"), {name: value.encode().decode("latin-1") for name, value in secrets.items()}
    )
    whole = clean.encode("latin-1")
    cut, truncated = whole[:keep], more or len(whole) > keep
    text = _text(cut, truncated=truncated)
    if text is None:
        return base64.b64encode(cut).decode(), True, truncated
    return text, False, truncated


def _text(body: bytes, *, truncated: bool) -> str | None:
    """Read UTF-8; a character that was cut in two at the end is left out. None: it is no text."""
    if b"\0" in body:  # which not every database keeps
        return None
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        if truncated and len(body) - error.start <= _CUT and error.reason == "unexpected end of data":
            return body[: error.start].decode()
        return None
