"""One HTTP/1.1 connection to a target, without I/O of its own in the protocol: that is h11's."""

from __future__ import annotations

import logging
import select
from typing import TYPE_CHECKING, Final

import h11

from headway.emulator.target import HttpAnswer

if TYPE_CHECKING:
    import asyncio

    from headway.emulator.target import HttpCall

_log: Final = logging.getLogger("headway.emulator")

_BODY_KEPT: Final = 4096  # bytes of an answer, for people to look at
_CHUNK: Final = 64 * 1024
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class NotTakenError(ConnectionError):
    """The connection failed before the whole request was written: the target cannot have had all of it."""


class Connection:
    """One connection, for one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over streams that are connected."""
        # So that what was drained is out of this process to its last byte: see `exchange`.
        writer.transport.set_write_buffer_limits(high=0)
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.CLIENT)

    @property
    def ended(self) -> bool:
        """The other side has closed it, or sent what nobody asked for."""
        return self._reader.at_eof() or self._writer.is_closing() or self._readable()

    def _readable(self) -> bool:
        # The loop may not have come to it yet; and whoever writes to a connection that is closed cannot tell
        # afterwards whether the request was taken.
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def ready(self) -> bool:
        """Make it ready for the next request, if it can take one."""
        if self._state.our_state is not h11.DONE or self._state.their_state is not h11.DONE:
            return False
        self._state.start_next_cycle()
        return not self.ended

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._writer.close()

    async def exchange(self, call: HttpCall, host: str, path: str) -> HttpAnswer:
        """Send a request and read the answer to its end; OSError or h11.ProtocolError when there is none.

        NotTakenError when the request was not written whole, and nothing was answered: only then may it be sent again.
        """
        self._writer.write(self._written(call, host, path))
        try:
            await self._writer.drain()
        except OSError as error:
            _log.debug("task %s: the target did not take the whole body; it may have answered", call.task)
            first = await self._left()
            if not first:
                msg = "the target closed the connection before it had the whole request"
                raise NotTakenError(msg) from error
            self._state.receive_data(first)
        return await self._answer()

    async def _left(self) -> bytes:
        """Return what came before the connection failed."""
        try:
            return await self._reader.read(_CHUNK)
        except OSError:
            return b""

    async def _answer(self) -> HttpAnswer:
        answer: HttpAnswer | None = None
        body = bytearray()
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                self._state.receive_data(await self._reader.read(_CHUNK))
            elif isinstance(event, h11.Response):
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                answer = HttpAnswer(event.status_code, headers)
            elif isinstance(event, h11.Data):
                body += event.data[: _BODY_KEPT - len(body)]
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed) or event is h11.PAUSED:
                break
        if answer is None:
            msg = "the target closed the connection without an answer"
            raise ConnectionResetError(msg)
        return HttpAnswer(answer.status, answer.headers, bytes(body)) if body else answer

    def _written(self, call: HttpCall, host: str, path: str) -> bytes:
        headers = [("Host", host), *call.headers.items()]
        if call.body or call.method not in _WITHOUT_BODY:
            headers.append(("Content-Length", str(len(call.body))))
        request = h11.Request(
            method=call.method,
            target=path,
            headers=[(name.encode("latin-1"), value.strip().encode()) for name, value in headers],
        )
        parts = [self._state.send(request)]
        if call.body:
            parts.append(self._state.send(h11.Data(data=call.body)))
        parts.append(self._state.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)
