"""Bodies of requests on their way: bounded in their number, their bytes and their time.

Whoever signs its requests is known only when the body has come whole, so strangers may send bodies too. Beyond the
bounds the sender that takes longest makes way: an honest one sends a job within milliseconds, so slow ones, however
many, keep nobody out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.push.http import DisconnectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import BodySums
    from headway.push.http import Receive

MAX_BODY: Final = 1024 * 1024 + 64 * 1024
"""Bytes of a body: what a dispatcher may send, and a margin. What is longer is cut off, so nobody can read it."""
MAX_BEYOND: Final = 32 * 1024 * 1024
"""Bytes behind those, read for the proof of its sender alone and not kept; what is longer still proves nobody."""
MAX_IN_ALL: Final = 64 * 1024 * 1024
"""Bytes of all bodies that have not come whole: an eighth of the smallest usual instance."""
BODY_SECONDS: Final = 10.0  # for a body to arrive: a sender that stalls must not hold a place


class Body(NamedTuple):
    """A body, whole or cut off. Of one that was cut off, `sums` were made of all of it, where they prove something."""

    data: bytes
    sums: BodySums | None = None


class Intake:
    """Reads bodies, `senders` of them at once."""

    def __init__(self, senders: int, *, in_all: int = MAX_IN_ALL, seconds: float = BODY_SECONDS) -> None:
        """`in_all`: bytes of all bodies together; `seconds`: for one body."""
        self._senders = senders
        self._in_all = in_all
        self._seconds = seconds
        self._arriving: dict[asyncio.Timeout, int] = {}  # bytes so far, the longest on its way first
        self._bytes = 0

    @property
    def held(self) -> int:
        """How many bytes have come of bodies that are not whole."""
        return self._bytes

    async def read(self, receive: Receive, sums: Callable[[], BodySums | None]) -> Body:
        """Read a body, cut off behind MAX_BODY bytes; DisconnectedError when it does not come whole.

        `sums` makes what a body that is cut off is proven by.
        """
        body = bytearray()
        proof: BodySums | None = None
        beyond = 0
        try:
            async with asyncio.timeout(self._seconds) as limit:
                self._arriving[limit] = 0
                try:
                    self._make_room()
                    while beyond < MAX_BEYOND:
                        message = await receive()
                        if message["type"] != "http.request":
                            msg = "the sender went away"
                            raise DisconnectedError(msg)
                        part: bytes = message.get("body", b"")
                        room = MAX_BODY - len(body)
                        body += part[:room]
                        if len(part) > room:
                            if proof is None:
                                proof = sums()
                                if proof is None:
                                    break
                                proof.update(bytes(body))
                            proof.update(part[room:])
                            beyond += len(part) - room
                        if not message.get("more_body", False):
                            break
                        self._count(limit, min(room, len(part)))
                finally:
                    self._forget(limit)
        except TimeoutError as error:
            msg = f"the body did not arrive within {self._seconds:g} s, or had to make way for others"
            raise DisconnectedError(msg) from error
        return Body(bytes(body), proof)

    def _count(self, limit: asyncio.Timeout, size: int) -> None:
        if limit in self._arriving:
            self._arriving[limit] += size
            self._bytes += size
            self._make_room()

    def _make_room(self) -> None:
        while len(self._arriving) > self._senders or self._bytes > self._in_all:
            longest = next(iter(self._arriving))
            self._forget(longest)
            longest.reschedule(asyncio.get_running_loop().time())

    def _forget(self, limit: asyncio.Timeout) -> None:
        self._bytes -= self._arriving.pop(limit, 0)
