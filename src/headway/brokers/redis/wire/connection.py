"""An open connection as an asyncio protocol: replies are parsed and passed on as their bytes arrive.

The asyncio streams over which the connection was made are not used here: they cost two turns of the loop and a task
for each reply.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import hiredis

from headway.brokers.redis.wire.blocking import PATIENCE, Loan
from headway.brokers.redis.wire.errors import ProtocolError, WireError, error_of
from headway.brokers.redis.wire.socket import Handle

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
        self._lendable: Handle | None = None
        self._loan: Loan | None = None
        self.full = False  # the socket takes no more for now

    def take_over(self, transport: asyncio.Transport) -> None:
        """Become the protocol of an open transport, all of whose replies have been read; raises a WireError."""
        if transport.is_closing():  # `connection_lost` would never be called
            msg = "the connection ended as soon as it was made"
            raise WireError(msg)
        self._transport = transport
        transport.set_protocol(self)
        self._lendable = _second_handle(transport)

    def write(self, commands: bytes) -> None:
        """Send packed commands."""
        if self._transport is not None:
            self._transport.write(commands)

    def lend(self, returned: Callable[[], None]) -> Loan | None:
        """Stop reading and let others use the connection; None when it cannot be. See `Loan`."""
        transport = self._transport
        if self._lendable is None or transport is None or self.full or transport.get_write_buffer_size():
            return None
        transport.pause_reading()
        self._loan = Loan(self._lendable, self._reader, _NOTHING, returned)
        return self._loan

    def regain(self) -> None:
        """Read again: the loan is back."""
        self._loan = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

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

    def let_go(self) -> None:
        """Close the handle for lending; while it is lent, its borrower does, who must not use a number given away."""
        lendable, self._lendable = self._lendable, None
        loan, self._loan = self._loan, None
        if loan is not None:
            loan.abandon()
        elif lendable is not None:
            lendable.close()

    def _end(self, error: Exception) -> None:
        transport, self._transport = self._transport, None
        self.let_go()
        if transport is not None:
            self._ended(error)


def _second_handle(transport: asyncio.Transport) -> Handle | None:
    """Return a second handle to the transport's socket, to be lent; None: nothing can be lent.

    So under TLS, whose state is the transport's, and when the process may open no more files.
    """
    socket = transport.get_extra_info("socket")
    if socket is None or any(transport.get_extra_info(name) for name in ("sslcontext", "ssl_object")):
        return None
    try:
        return Handle(os.dup(socket.fileno()), PATIENCE)
    except OSError:
        return None
