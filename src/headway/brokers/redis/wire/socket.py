"""A socket for calls that block: connected, with TLS if need be, and looked at before a thread sleeps for it."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from headway.brokers.redis.wire.greeting import keep_alive, tls_of
from headway.brokers.redis.wire.spin import Pace, yield_cpu

if TYPE_CHECKING:
    from headway.brokers.redis.location import Address, Location

_AT_ONCE: Final = struct.pack("ii", 1, 0)  # to close without sending what is left
_NOT_NOW: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def connect(where: Location, address: Address, patience: float) -> socket.socket:
    """Connect, within `patience` seconds for each step. Raises OSError, ConfigError or WireError."""
    connection = socket.create_connection(address, timeout=patience)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(connection)
        tls = tls_of(where)
        return connection if tls is None else tls.wrap_socket(connection, server_hostname=address[0])
    except BaseException:
        connection.close()
        raise


class Handle:
    """What of a socket a caller needs."""

    def __init__(self, connection: socket.socket, patience: float) -> None:
        """Own the connection; TimeoutError after `patience` seconds."""
        self._socket = connection
        self._socket.settimeout(0)
        self._patience = patience
        self._pace = Pace()
        self._look_until = 0.0

    def sendall(self, data: bytes) -> None:
        """Send all of it; after an error part of it may have been sent."""
        self._look_until = self._pace.look_until()
        try:
            sent = self._socket.send(data)
        except _NOT_NOW:
            sent = 0
        if sent < len(data):
            self._socket.settimeout(self._patience)
            try:
                self._socket.sendall(data[sent:])
            finally:
                self._socket.settimeout(0)

    def recv(self, size: int) -> bytes:
        """Receive up to so many bytes, none at the connection's end."""
        try:
            return self._look(size) or self._wait(size)
        finally:
            self._pace.answered()

    def _look(self, size: int) -> bytes | None:
        """Return what comes while it is looked for; None: nothing came, or the connection ended."""
        while time.perf_counter() < self._look_until:
            try:
                return self._socket.recv(size)
            except _NOT_NOW:
                yield_cpu()
        return None

    def _wait(self, size: int) -> bytes:
        self._socket.settimeout(self._patience)
        try:
            return self._socket.recv(size)
        finally:
            self._socket.settimeout(0)

    def close(self, *, abruptly: bool = False) -> None:
        """Close the connection. `abruptly`: what was not sent yet is not sent later either."""
        if abruptly:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._socket.close()
