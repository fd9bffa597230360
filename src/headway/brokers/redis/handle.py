"""A second handle to the loop's socket, for calls that block.

The answer of a small call is there sooner than a sleeping thread is awake again, in a virtual machine above all. So a
reader looks for it a while, making way for others between two looks, and sleeps only then.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_EAGER: Final = 0.0002  # seconds: several times what a script takes for one job

_make_way: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))


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
        """Receive up to so many bytes; none at the connection's end."""
        receive = self._socket.recv
        until = time.perf_counter() + _EAGER
        while True:
            try:
                return receive(size)
            except BlockingIOError:
                if time.perf_counter() > until:
                    break
            _make_way()
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
