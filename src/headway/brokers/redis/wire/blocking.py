"""The idle command connection in the hands of blocking callers, until the loop has a call of its own.

A blocking call that goes through the loop's thread and back costs two changes of threads, more than the call itself.
So the link lends its connection while nothing is under way on it: the caller writes and reads by itself. Only one
thread at a time does; whoever finds it taken, or recalled, goes through the loop.
"""

from __future__ import annotations

import enum
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.redis.wire.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    import hiredis

    from headway.brokers.redis.wire.socket import Handle

NO_ANSWER: Final = object()
PATIENCE: Final = 0.25  # seconds a borrower waits itself; then the loop does, with its deadlines
_READ: Final = 65536


class Stage(enum.Enum):
    """What a borrower left behind."""

    QUIET = "nothing is under way"
    WAITING = "a call was sent whole; its answer is outstanding"
    UNUSABLE = "part of a call may be on the wire: whatever came behind it would be taken for its rest"


class Loan:
    """A lent connection. All but `call` belongs to the loop's thread."""

    def __init__(
        self, connection: Handle, reader: hiredis.Reader, nothing: object, returned: Callable[[], None]
    ) -> None:
        """`reader` gives `nothing` when no whole reply is there; `returned` may be called from any thread."""
        self._connection = connection
        self._reader = reader
        self._nothing = nothing
        self._returned = returned
        self._turn = threading.Lock()
        self._recalled = threading.Event()
        self._abandoned = False
        self.stage = Stage.QUIET

    def call(self, packed: bytes) -> Any:  # noqa: ANN401 - whatever the server answers
        """Send one packed command and return the reply, errors too; NO_ANSWER when it has to go another way.

        After NO_ANSWER it may have been applied.
        """
        recalled = self._recalled
        if recalled.is_set() or not self._turn.acquire(blocking=False):
            return NO_ANSWER
        try:
            return self._ask(packed)
        finally:
            if self.stage is not Stage.QUIET:
                recalled.set()  # nobody may use it before the loop has put it in order
            self._turn.release()
            if self._abandoned:
                self._connection.close()
            elif recalled.is_set():
                self._returned()

    def _ask(self, packed: bytes) -> Any:  # noqa: ANN401 - whatever the server answers
        reader, nothing, connection = self._reader, self._nothing, self._connection
        self.stage = Stage.UNUSABLE
        try:
            connection.sendall(packed)
            self.stage = Stage.WAITING
            while (reply := reader.gets()) is nothing:
                data = connection.recv(_READ)
                if not data:
                    self.stage = Stage.UNUSABLE
                    return NO_ANSWER
                reader.feed(data)
        except TimeoutError:
            return NO_ANSWER
        except (OSError, ProtocolError):
            self.stage = Stage.UNUSABLE
            return NO_ANSWER
        self.stage = Stage.QUIET
        return reply

    def recall(self) -> bool:
        """Lend it to nobody from now on; true when it is back, else `returned` will be called."""
        self._recalled.set()
        return self._turn.acquire(blocking=False)

    def abandon(self) -> None:
        """The connection is given up: whoever waits on it is cut off, and the last to hold the handle closes it."""
        self._abandoned = True
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        if self.recall():
            self._connection.close()
