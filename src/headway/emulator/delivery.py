"""The transport of the dispatchers: HTTP/1.1 over kept connections. Of an answer's body the beginning is kept.

httpx would do, at three to ten times the processor time: a dispatcher with hundreds of requests under way to one
target spends most of it in the bookkeeping of httpx's pool.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import defaultdict, deque
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlsplit

import h11

from headway.emulator.connection import Connection, NotTakenError

if TYPE_CHECKING:
    from headway.emulator.target import HttpAnswer, HttpCall

_log: Final = logging.getLogger("headway.emulator")

_CONNECT_S: Final = 30.0
_IDLE_CONNECTIONS: Final = 256
_SAFE: Final = "/%:@!$&'()*+,;=~?"  # the rest is encoded; what is encoded already stays
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class _Origin(NamedTuple):
    """Where connections go that can stand in for one another."""

    scheme: str
    host: str
    port: int


class HttpDelivery:
    """Delivers over connections that are kept; `close` ends those that are idle. Redirects are failures."""

    def __init__(self) -> None:
        """No connection is made yet."""
        self._idle: defaultdict[_Origin, deque[Connection]] = defaultdict(deque)
        self._tls: ssl.SSLContext | None = None

    async def __call__(self, call: HttpCall) -> HttpAnswer | None:
        """Send the request; None when the connection failed or broke, TimeoutError when the call's time is over."""
        timer = asyncio.timeout(call.timeout_ms / 1000)
        try:
            async with timer:
                return await self._deliver(call)
        except (OSError, ValueError, h11.ProtocolError) as error:  # a timeout of the system is an OSError too
            if timer.expired():
                msg = f"no answer within {call.timeout_ms} ms"
                raise TimeoutError(msg) from error
            _log.info("task %s: %r", call.task, error)
            return None

    async def close(self) -> None:
        """End the idle connections."""
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    async def _deliver(self, call: HttpCall) -> HttpAnswer:
        origin, host, path = _parts(call.url)
        if (connection := self._take(origin)) is not None:
            try:
                return await self._use(connection, origin, call, host, path)
            except NotTakenError:
                # The target closed it while it was idle: that is no attempt. A request that was written whole is one,
                # whatever came after it: a handler that takes it and dies would else be met again and again.
                _log.debug("task %s: the connection was closed while it was idle", call.task)
        return await self._use(await self._connect(origin), origin, call, host, path)

    async def _use(
        self, connection: Connection, origin: _Origin, call: HttpCall, host: str, path: str
    ) -> HttpAnswer:
        try:
            answer = await connection.exchange(call, host, path)
        except BaseException:
            connection.close()
            raise
        idle = self._idle[origin]
        if connection.ready() and len(idle) < _IDLE_CONNECTIONS:
            idle.append(connection)
        else:
            connection.close()
        return answer

    def _take(self, origin: _Origin) -> Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if not connection.ended:
                return connection
            connection.close()
        return None

    async def _connect(self, origin: _Origin) -> Connection:
        if origin.scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        tls = self._tls if origin.scheme == "https" else None
        async with asyncio.timeout(_CONNECT_S):
            return Connection(*await asyncio.open_connection(origin.host, origin.port, ssl=tls))


@lru_cache(maxsize=1024)
def _parts(url: str) -> tuple[_Origin, str, str]:
    """Return where to connect, the Host header, and the path as it is sent; ValueError when the URL is none."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        msg = f"{url!r} is no URL of HTTP"
        raise ValueError(msg)
    named = parts.hostname or ""
    host = named if ":" in named else named.encode("idna").decode()
    origin = _Origin(parts.scheme, host, parts.port or _DEFAULT_PORTS[parts.scheme])
    shown = f"[{host}]" if ":" in host else host
    if origin.port != _DEFAULT_PORTS[parts.scheme]:
        shown = f"{shown}:{origin.port}"
    path = quote(parts.path or "/", safe=_SAFE)
    return origin, shown, f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path
