"""An open connection as an asyncio protocol: replies are parsed and passed on as their bytes arrive.

The asyncio streams over which the connection was made are not used here: they cost two turns of the loop and a task
for each reply.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import hiredis

from headway.brokers.redis.wire.errors import ProtocolError, WireError, error_of

if TYPE_CHECKING:
    from collections.abc import Callable

_NOTHING: Final = object()  # hiredis returns it when no whole reply has arrived


class Connection(asyncio.Protocol):
    """Writes packed commands and passes on replies, in order; an error reply as an exception that is not raised."""

    def __init__(
        self,
        answered: Callable[[Any], None],
        ended: Callable[[Exception], None],
        writable: Callable[[], None],
    ) -> None:
        """Called with each reply; once, with the error that ended the connection; when it is no longer `full`."""
        self._answered = answered
        self._ended = ended
        self._writable = writable
        self._reader = hiredis.Reader(
            protocolError=ProtocolError,
            replyError=error_of,
            notEnoughData=_NOTHING,
        )
        self._transport: asyncio.Transport | None = None
        self.full = False  # the socket takes no more for now

    def take_over(self, transport: asyncio.Transport) -> None:
        """Become the protocol of an open transport, all of whose replies have been read; raises a WireError."""
        if transport.is_closing():  # `connection_lost` would never be called
            msg = "the connection ended as soon as it was made"
            raise WireError(msg)
        self._transport = transport
        transport.set_protocol(self)

    def write(self, commands: bytes) -> None:
        """Send packed commands."""
        if self._transport is not None:
            self._transport.write(commands)

    def data_received(self, data: bytes) -> None:
        """Parse, and pass on every whole reply."""
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _NOTHING:
                self._answered(reply)
        except ProtocolError as error:
            self._end(error)

    def pause_writing(self) -> None:
        """Note that the socket is full."""
        self.full = True

    def resume_writing(self) -> None:
        """Note that the socket takes more."""
        self.full = False
        self._writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end to the owner."""
        self._end(exc or WireError("the server closed the connection"))

    def _end(self, error: Exception) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._ended(error)
