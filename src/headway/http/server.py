"""HTTP servers of ours, with uvicorn: how long a connection may keep a place on which nothing runs.

uvicorn waits for the head of a request without end, and asyncio accepts until there are no descriptors left. So each
connection has a time for its head, and beyond a share of the descriptors the one that has waited longest makes way: an
honest sender's head comes within milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import time
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from uvicorn import Config
    from uvicorn.server import ServerState

_log: Final = logging.getLogger("headway.serving")

BACKLOG: Final = 128  # asyncio of Python 3.11 tries as often in a row to accept when it has no descriptors
HEAD_SECONDS: Final = 10.0  # for the head of a request, from its first byte or from the connection on
_UNREAD_SECONDS: Final = 60.0  # for a client to take the rest of an answer
_LEAST: Final = 32  # connections
_NO_DESCRIPTORS: Final = "socket.accept() out of system resource"
_SAY_EVERY: Final = 10.0  # seconds


def bind(host: str, port: int) -> socket.socket:
    """Bind the port, 0 for a free one; ConfigError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        msg = f"cannot listen on {host} port {port}: {error}"
        raise ConfigError(msg) from error


class Connections:
    """The connections of one server."""

    def __init__(self, *, head_seconds: float = HEAD_SECONDS, most: int | None = None) -> None:
        """`most`: beyond so many, those on which nothing runs are closed; None: half of the descriptors."""
        self.head_seconds = head_seconds
        self._most = max(_LEAST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2) if most is None else most
        self._open: dict[LimitedProtocol, None] = {}  # the longest open first
        self._said = float("-inf")

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> LimitedProtocol:
        """Make what serves the next connection: give it to uvicorn as `http`."""
        inner: Any = AutoHTTPProtocol
        return LimitedProtocol(self, inner(config=config, server_state=server_state, app_state=app_state))

    def add(self, connection: LimitedProtocol) -> None:
        """Take a new connection; if there are too many, close one on which nothing runs."""
        self._open[connection] = None
        if len(self._open) <= self._most:
            return
        longest = next((one for one in self._open if one.idle and one is not connection), None)
        if longest is not None:
            self._say("%d connections are open: those on which nothing runs make way", len(self._open))
            longest.abort()

    def remove(self, connection: LimitedProtocol) -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)

    def _say(self, text: str, *values: object) -> None:
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY:
            self._said = now
            _log.warning(text, *values)


class Serving(uvicorn.Server):
    """A server that leaves the signals to whoever runs it, and says when it listens."""

    def __init__(self, config: Config, ready: Callable[[], None]) -> None:
        """`ready` is called once it listens."""
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets=sockets)
        self._ready()


class LimitedProtocol(asyncio.Protocol):
    """uvicorn's own protocol, whose sender does not have for ever."""

    def __init__(self, connections: Connections, inner: Any) -> None:  # noqa: ANN401 - one of two classes of uvicorn
        self._connections = connections
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """No request is under way."""
        cycle = self._inner.cycle
        return cycle is None or cycle.response_complete

    def abort(self) -> None:
        """Close at once: an orderly end would wait for the other side."""
        if self._transport is not None:
            self._connections.remove(self)
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is one in all but its class
        self._inner.connection_made(transport)
        self._connections.add(self)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Pass on, and see whether the head is whole."""
        self._inner.data_received(data)
        if not self.idle:
            self._stop_waiting()
        elif self._head is None:
            self._wait()

    def eof_received(self) -> bool | None:
        """Pass on."""
        found: bool | None = self._inner.eof_received()
        return found

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on, and forget it."""
        self._stop_waiting()
        self.resume_writing()
        self._connections.remove(self)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on; the other side does not read what it is answered."""
        self._inner.pause_writing()
        if self._unread is None:
            self._unread = asyncio.get_running_loop().call_later(_UNREAD_SECONDS, self.abort)

    def resume_writing(self) -> None:
        """Pass on: it reads again."""
        self._inner.resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait(self) -> None:
        self._head = asyncio.get_running_loop().call_later(self._connections.head_seconds, self._late)

    def _late(self) -> None:
        self._head = None
        if self.idle:
            _log.debug("a connection is closed: no request came on it in time")
            self.abort()

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


def name_lack_of_descriptors(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop say in one line, now and then, that it cannot accept for want of descriptors."""
    said = float("-inf")

    def handle(handling: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said
        if context.get("message") != _NO_DESCRIPTORS:
            handling.default_exception_handler(context)
            return
        now = time.monotonic()
        if now - said >= _SAY_EVERY:
            said = now
            _log.error(
                "no connection can be accepted: the process may have no more than %d files open (ulimit -n)",
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            )

    loop.set_exception_handler(handle)
