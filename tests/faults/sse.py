"""A reader of Server-Sent Events over a bare socket: what it got, and how it goes on after its server went away."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

HOST: Final = "127.0.0.1"
_LIMIT: Final = 4 * 1024 * 1024


class Reader:
    """One client, which connects again as browsers do."""

    def __init__(self, port: int, query: str = "", key: str = "") -> None:
        self.port = port
        self.query = query
        self.key = key
        self.last = ""  # the id of the last event, as a browser keeps it
        self.jobs: list[tuple[str, str, int]] = []  # kind, job, epoch
        self.told: list[tuple[str, Any]] = []  # everything else
        self.connections = 0
        self.greeted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    async def _run(self) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._read()
            await asyncio.sleep(0.05)

    async def _read(self) -> None:
        reading, writing = await asyncio.open_connection(HOST, self.port, limit=_LIMIT)
        try:
            lines = [f"GET /v1/events{self.query} HTTP/1.0", f"Host: {HOST}:{self.port}"]
            lines += [f"Last-Event-ID: {self.last}"] if self.last else []
            lines += [f"Authorization: Bearer {self.key}"] if self.key else []
            writing.write("\r\n".join([*lines, "", ""]).encode())
            head = await reading.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.partition(b"\r\n")[0]:
                self.told.append(("refused", head.partition(b"\r\n")[0].decode()))
                return
            self.connections += 1
            while True:
                self._take((await reading.readuntil(b"\n\n")).decode())
        finally:
            writing.close()

    def _take(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "id" in fields:
            self.last = fields["id"]
        if "data" not in fields:
            return
        data = json.loads(fields["data"])
        if fields["event"] == "job":
            self.jobs.append((data["kind"], data["job"], data["epoch"]))
        else:
            self.told.append((fields["event"], data))
            self.greeted.set()


async def mute(port: int) -> asyncio.StreamWriter:
    """Ask for events and never read one."""
    _, writing = await asyncio.open_connection(HOST, port, limit=1024)
    transport: Any = writing.transport
    transport.pause_reading()
    writing.write(f"GET /v1/events HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode())
    return writing
