"""A second handle to the loop's socket, for calls that block."""

from __future__ import annotations

import socket
import time

from headway.brokers.redis.wire.spin import Pace, yield_cpu


class Handle:
    """What of a socket a borrower needs. The socket itself never blocks: the loop uses it, too."""

    def __init__(self, descriptor: int, patience: float) -> None:
        """Own the descriptor; TimeoutError after `patience` seconds."""
        self._socket = socket.socket(fileno=descriptor)
        self._socket.settimeout(0)
        self._patience = patience
        self._pace = Pace()
        self._look_until = 0.0

    def sendall(self, data: bytes) -> None:
        """Send all of it; after an error part of it may have been sent."""
        self._look_until = self._pace.look_until()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
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
            except BlockingIOError:
                yield_cpu()
        return None

    def _wait(self, size: int) -> bytes:
        self._socket.settimeout(self._patience)
        try:
            return self._socket.recv(size)
        finally:
            self._socket.settimeout(0)

    def shutdown(self, how: int) -> None:
        """End the connection, for all who use it."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """Close this handle."""
        self._socket.close()
