"""A connection of its own for calls from blocking code, which do without the loop's thread.

Through that thread and back a call costs two changes of threads, more than the call itself. One thread at a time uses
this connection; whoever finds it taken, or not to be had, goes through the loop. It is opened by the first who needs
it, to the server that the loop's connection has reached, and ends with that one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import hiredis

from headway.brokers.redis.wire.errors import ProtocolError, WireError, error_of
from headway.brokers.redis.wire.greeting import pack
from headway.brokers.redis.wire.socket import Handle, connect

if TYPE_CHECKING:
    from headway.brokers.redis.location import Address
    from headway.brokers.redis.wire.connect import Connector

NO_ANSWER: Final = object()
PATIENCE: Final = 0.25  # seconds a caller waits by itself; then the loop does, with its deadlines
CONNECT_PATIENCE: Final = 1.0  # seconds for each step of connecting
PAUSE: Final = 5.0  # seconds without a try, after one that failed or an answer that did not come
_READ: Final = 65536
_NOTHING: Final = object()  # hiredis returns it when no whole reply has arrived


class Blocking:
    """The connection of one link for blocking calls. `call` is for any thread, all else for the loop's."""

    def __init__(self, connector: Connector) -> None:
        """Nothing is opened before there is an address, and a call."""
        self._connector = connector
        self._turn = threading.Lock()
        self._stay: _Stay | None = None
        self._open: _Open | None = None  # whoever has the turn may use and change it
        self._pause_until = 0.0  # an instant of time.monotonic()

    @property
    def opened(self) -> bool:
        """True while there is a connection."""
        return self._open is not None

    def allow(self, address: Address) -> None:
        """Let calls go to the server at this address, until `drop`."""
        self._stay = _Stay(address)
        self._pause_until = 0.0

    def drop(self) -> None:
        """Let no more calls begin, and close the connection; under a caller, the caller does when it is done."""
        self._stay = None
        self._tidy()

    def call(self, packed: bytes) -> Any:  # noqa: ANN401 - whatever the server answers
        """Send one packed command and return the reply, errors too; NO_ANSWER when it has to go another way.

        After NO_ANSWER it may have been applied, or be applied yet.
        """
        stay = self._stay
        if stay is None or not self._turn.acquire(blocking=False):
            return NO_ANSWER
        sound = False
        try:
            answer = self._ask(stay, packed)
            sound = True
        except (WireError, OSError):
            return NO_ANSWER
        finally:
            if not sound:  # part of a call or of its answer may be under way, after Ctrl-C as well
                self._end(abruptly=True)
            self._turn.release()
            if self._stay is not stay:
                self._tidy()
        return answer

    def _ask(self, stay: _Stay, packed: bytes) -> Any:  # noqa: ANN401 - whatever the server answers
        held = self._open
        if held is None or held.stay is not stay:
            self._end()
            if time.monotonic() < self._pause_until:
                return NO_ANSWER
            held = self._opened(stay)
        try:
            return held.ask(packed)
        except TimeoutError:
            self._pause_until = time.monotonic() + PAUSE
            raise

    def _opened(self, stay: _Stay) -> _Open:
        self._pause_until = time.monotonic() + PAUSE
        held = self._open = _Open(
            stay, Handle(connect(self._connector.location, stay.address, CONNECT_PATIENCE), PATIENCE)
        )
        for command in self._connector.greeting("blocking"):
            answer = held.ask(pack(*command))
            if isinstance(answer, Exception):
                raise answer
        self._pause_until = 0.0
        return held

    def _end(self, *, abruptly: bool = False) -> None:
        held, self._open = self._open, None
        if held is not None:
            held.handle.close(abruptly=abruptly)

    def _tidy(self) -> None:
        """Close the connection of a stay that is over; the caller whose turn it is does so, if there is one."""
        if self._turn.acquire(blocking=False):
            try:
                if self._open is not None and self._open.stay is not self._stay:
                    self._end()
            finally:
                self._turn.release()


class _Stay:
    """One stay of the loop's connection at an address: another one there is another stay."""

    def __init__(self, address: Address) -> None:
        self.address = address


class _Open:
    """The connection while it is open."""

    def __init__(self, stay: _Stay, handle: Handle) -> None:
        self.stay = stay
        self.handle = handle
        self._reader = hiredis.Reader(
            protocolError=ProtocolError, replyError=error_of, notEnoughData=_NOTHING
        )

    def ask(self, packed: bytes) -> Any:  # noqa: ANN401 - whatever the server answers
        reader, handle = self._reader, self.handle
        handle.sendall(packed)
        while (reply := reader.gets()) is _NOTHING:
            data = handle.recv(_READ)
            if not data:
                msg = "the server closed the connection"
                raise WireError(msg)
            reader.feed(data)
        return reply
