"""A second handle to the loop's socket, for calls that block."""

from __future__ import annotations

import socket
import time

from headway.brokers.redis.eager import EAGER, make_way


class Handle:
    """What of a socket a borrower needs. The socket itself never blocks: the loop uses it, too."""

    def __init__(self, descriptor: int, patience: float) -> None:
        """Own the descriptor; TimeoutError after `patience` seconds."""
        self._socket = socket.socket(fileno=descriptor)
        self._socket.settimeout(0)
        self._patience = patience

    def sendall(self, data: bytes) -> None:
        """Send all of it; after an error part of it may have been sent."""
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
        """Receive up to so many bytes, none at the connection's end; look for them before sleeping."""
        receive = self._socket.recv
        until = time.perf_counter() + EAGER
        while True:
            try:
                return receive(size)
            except BlockingIOError:
                if time.perf_counter() > until:
                    break
            make_way()
        self._socket.settimeout(self._patience)
        try:
            return receive(size)
        finally:
            self._socket.settimeout(0)

    def shutdown(self, how: int) -> None:
        """End the connection, for all who use it."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """Close this handle."""
        self._socket.close()
