"""An open connection as a protocol of the loop: replies are parsed and handed on as their bytes arrive.

redis-py connects and greets; from then on its stream layer is out of the way: it costs two turns of the loop and a
task for each reply.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis
from redis import exceptions
from redis.connection import DefaultParser

if TYPE_CHECKING:
    from collections.abc import Callable

_NOTHING: Final = object()  # hiredis returns it when no whole reply has arrived


class Pipe(asyncio.Protocol):
    """Writes packed commands and hands on replies, in order; error replies come as exceptions, not raised."""

    def __init__(
        self,
        answered: Callable[[Any], None],
        ended: Callable[[Exception], None],
        writable: Callable[[], None],
    ) -> None:
        """`answered` gets each reply, `ended` once what the connection ended with; `writable`: no longer full."""
        self._answered = answered
        self._ended = ended
        self._writable = writable
        self._reader = hiredis.Reader(
            protocolError=exceptions.InvalidResponse,
            replyError=cast("Callable[[str], Exception]", DefaultParser.parse_error),
            notEnoughData=_NOTHING,
        )
        self._transport: asyncio.Transport | None = None
        self.full = False  # the socket takes no more for now

    def take_over(self, transport: asyncio.Transport) -> None:
        """Become the protocol of an open transport, all of whose replies have been read."""
        self._transport = transport
        transport.set_protocol(self)

    def write(self, commands: bytes) -> None:
        """Send packed commands."""
        if self._transport is not None:
            self._transport.write(commands)

    def data_received(self, data: bytes) -> None:
        """Parse, and hand on every whole reply."""
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _NOTHING:
                self._answered(reply)
        except exceptions.InvalidResponse as error:
            self._end(error)

    def pause_writing(self) -> None:
        """Note that the socket is full."""
        self.full = True

    def resume_writing(self) -> None:
        """Note that the socket takes more."""
        self.full = False
        self._writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner."""
        self._end(exc or exceptions.ConnectionError("the server closed the connection"))

    def _end(self, error: Exception) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._ended(error)
