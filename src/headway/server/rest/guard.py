"""What stands before every request: whether this server is meant, whether a browser was tricked into it, headers.

- `Host` must be an address, this machine, or a name that the server was told: a page whose name is rebound to this
  address (DNS rebinding) sends its own name.
- A change must not come from a page of another site. Browsers say where a request comes from (`Sec-Fetch-Site`,
  `Origin`); programs say nothing and are let through, as they need a key.
- Answers say that they are not to be framed, sniffed, cached, or read by other sites. There is no CORS: no page of
  another origin may use this API with a browser's help.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from headway.server.rest.endpoint import respond
from headway.server.rest.problem import MEDIA_TYPE, problem
from headway.server.rest.wire import to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headway.server.rest.endpoint import Message, Receive, Scope, Send

    App = Any

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_STRICT: Final = (b"strict-transport-security", b"max-age=31536000")


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, *, hosts: Collection[str], secure: bool) -> None:
        """`hosts` are names by which this server may be called. `secure`: it is reached by HTTPS alone."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts) | {"localhost"}
        self._headers = (*_HEADERS, _STRICT) if secure else _HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless it is not for us."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        sender = self._with_headers(send)
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            detail = f"Host {host[:100]!r} is not one of this server: `--allow-host NAME` adds one"
            await _refuse(sender, 421, "host", detail)
            return
        if scope["method"] not in _SAFE and not _same_site(headers, host):
            await _refuse(sender, 403, "cross-site", "a change was asked for by a page of another site")
            return
        raw: bytes = scope.get("raw_path") or b""
        if b"%" in raw:
            # Names of queues may hold a slash: the segments are divided first, then each is decoded.
            scope = {**scope, "path": raw.partition(b"?")[0].decode("latin-1")}
        await self._app(scope, receive, sender)

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host)
        if name.lower().rstrip(".") in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _with_headers(self, send: Send) -> Send:
        ours = self._headers

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in ours if one[0] not in there)]
            await send(message)

        return sending


def _same_site(headers: Mapping[bytes, bytes], host: str) -> bool:
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site in {b"same-origin", b"none"}
    origin = headers.get(b"origin")
    if origin is None:
        return True
    return origin.decode("latin-1").partition("://")[2].lower() == host.lower()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


async def _refuse(send: Send, status: int, kind: str, detail: str) -> None:
    await respond(send, status, to_json(problem(status, kind, detail)), MEDIA_TYPE, {})


def host_names(given: Iterable[str]) -> tuple[str, ...]:
    """Return the names of hosts without ports."""
    return tuple(_without_port(one.strip()) for one in given if one.strip())
