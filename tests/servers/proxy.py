"""A TCP proxy that misbehaves on demand, to cut connections before or after a write."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import Enum
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, free_port

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_CHUNK: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close sends RST, not FIN


class Direction(Enum):
    """Which way bytes go."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class TcpProxy:
    """Stands before a server of the loopback. Everything may be changed while connections are open.

    `reset_after(0, Direction.TO_SERVER)` cuts before the next request reaches the server, `reset_after(0,
    Direction.TO_CLIENT)` after the server took it and before its answer arrives: the two faults between which a client
    cannot tell.
    """

    def __init__(self, target_port: int, *, delay: float = 0.0) -> None:
        """Choose a port; listen only once opened. `delay` seconds are added in each direction."""
        self.target_port = target_port
        self.port = free_port()
        self.delay = delay
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = asyncio.Event()
        self._budget: dict[Direction, int] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._open) // 2

    async def listen(self) -> None:
        """Accept connections, also again after `refuse`."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def refuse(self) -> None:
        """Refuse new connections until `listen`; open ones go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def hang(self) -> None:
        """Hold all bytes back from now on; connections stay open, new ones are accepted."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let the bytes go on that `hang` held back."""
        self._flowing.set()

    def reset(self) -> None:
        """Reset all open connections now, on both sides."""
        for writer in tuple(self._open):
            _reset(writer)
        self._cut.set()

    def reset_after(self, count: int, direction: Direction) -> None:
        """Once: when `count` more bytes went this way, over all connections, reset them all instead of sending the next."""
        self._cut.clear()
        self._budget[direction] = count

    async def wait_reset(self) -> None:
        """Wait until the reset that was asked for has happened."""
        await self._cut.wait()

    async def close(self) -> None:
        """Refuse new connections and reset the open ones."""
        await self.refuse()
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            server_reader, server = await asyncio.open_connection(HOST, self.target_port)
        except OSError:
            _reset(client)
            return
        self._open |= {client, server}
        try:
            # Cancelled by close(): to end is all that is left, and Python 3.11 complains of a handler that was cancelled.
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(client_reader, server, Direction.TO_SERVER))
                    group.create_task(self._pump(server_reader, client, Direction.TO_CLIENT))
        finally:
            self._open -= {client, server}
            _reset(client)
            _reset(server)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                budget = self._budget.get(direction)
                if budget is not None and len(data) > budget:
                    del self._budget[direction]
                    writer.write(data[:budget])
                    self.reset()
                    return
                if budget is not None:
                    self._budget[direction] = budget - len(data)
                writer.write(data)
                await writer.drain()
            if not writer.is_closing():
                writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
