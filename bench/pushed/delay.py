"""A process that adds latency: `python -m bench.pushed.delay SECONDS LISTEN:TARGET ...`, ports of the loopback.

Each chunk of bytes arrives so much later than it came, whatever is on its way before it: a delay, not a queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import deque
from functools import partial

HOST = "127.0.0.1"
CHUNK = 65_536


class Delayed:
    """One direction of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        """`run` carries the bytes."""
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._came = asyncio.Event()

    async def run(self) -> None:
        """Carry bytes until one side closes."""
        reading = asyncio.create_task(self._read())
        with contextlib.suppress(OSError):
            await self._write()
        reading.cancel()
        self._writer.close()

    async def _read(self) -> None:
        data = b"-"
        while data:
            try:
                data = await self._reader.read(CHUNK)
            except OSError:
                data = b""
            self._under_way.append((time.monotonic() + self._seconds, data))
            self._came.set()

    async def _write(self) -> None:
        while True:
            while not self._under_way:
                self._came.clear()
                await self._came.wait()
            due, data = self._under_way[0]
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._under_way.popleft()
            if not data:
                return
            self._writer.write(data)


async def connect(
    seconds: float, target: int, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter
) -> None:
    """Carry one connection to its target."""
    try:
        server_reader, server = await asyncio.open_connection(HOST, target)
    except OSError:
        client.close()
        return
    await asyncio.gather(
        Delayed(client_reader, server, seconds).run(), Delayed(server_reader, client, seconds).run()
    )


async def serve(seconds: float, pairs: list[tuple[int, int]]) -> None:
    """Listen, until the process is ended."""
    for listen, target in pairs:
        await asyncio.start_server(partial(connect, seconds, target), HOST, listen)
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    pairs = [(int(listen), int(target)) for listen, _, target in (a.partition(":") for a in sys.argv[2:])]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(float(sys.argv[1]), pairs))


if __name__ == "__main__":
    main()
