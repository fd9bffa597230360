"""What stands before the receivers: passes each connection on to one of them that takes it, by turns."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count
from typing import TYPE_CHECKING, Self

from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class Balancer:
    """Balances connections over ports. A frozen receiver still takes them: nobody can tell."""

    def __init__(self, ports: Sequence[int], port: int) -> None:
        self._ports = list(ports)
        self._port = port
        self._turn = count()
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The target of the tasks."""
        return f"http://{HOST}:{self._port}/"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, self._port, backlog=1024)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        await asyncio.sleep(0)  # the turn of the loop in which aborted connections are closed

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = asyncio.create_task(self._serve(reader, writer))
        self._pipes.add(pipe)
        pipe.add_done_callback(self._pipes.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            ours = await self._connect()
            if ours is not None:
                there, back = ours
                writers.append(back)
                await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        finally:
            for one in writers:
                one.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._turn)
        for offset in range(len(self._ports)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(HOST, self._ports[(first + offset) % len(self._ports)])
        return None


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on; when one side ends, so does the other."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
