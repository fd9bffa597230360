"""Posting to one address by HTTP/1.1 over kept connections: the least that a Redis by HTTP needs, at the least cost.

A general client spends up to 2 ms of CPU on a request, and a guard asks twice for each job. This one spends a tenth of
that. It knows no redirects, no proxies and no compression.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

_IDLE_S: Final = (
    30.0  # a connection that was idle for longer may be cut unnoticed, as where an instance was frozen
)
_DIGITS: Final = 16


class WebError(Exception):
    """No answer, or none in HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: float

    @property
    def alive(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing()


class WebClient:
    """Posts to one URL. Concurrent posts use a connection each."""

    def __init__(self, url: str, *, tls: Callable[[], ssl.SSLContext]) -> None:
        """`tls` is asked once, when an https address is first connected to."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._idle: list[_Connection] = []
        self._closed = False

    async def post(self, headers: Mapping[str, str], body: bytes) -> WebAnswer:
        """Send and read the answer; WebError when there is none."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{self._head}{lines}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection: _Connection | None = None
        keep = False
        try:
            connection = self._take() or await self._connect()
            connection.writer.write(head.encode("latin-1") + body)
            await connection.writer.drain()
            answer, keep = await _read(connection.reader)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            msg = f"{type(error).__name__} {error}".strip()
            raise WebError(msg) from error
        else:
            return answer
        finally:
            if connection is not None:
                self._give_back(connection, keep=keep)

    async def close(self) -> None:
        """Close the connections; those in use are closed when they come back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()

    def _take(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and now - connection.used < _IDLE_S:
                return connection
            connection.writer.transport.abort()
        return None

    async def _connect(self) -> _Connection:
        if self._secure and self._tls is None:
            self._tls = self._make_tls()
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        return _Connection(reader, writer, 0.0)

    def _give_back(self, connection: _Connection, *, keep: bool) -> None:
        if keep and not self._closed:
            connection.used = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> tuple[WebAnswer, bool]:
    """Return the answer, and whether another may follow on this connection."""
    while True:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1."):
            msg = f"not HTTP/1.1: {first[:40]!r}"
            raise ValueError(msg)
        status = int(rest[:3])
        if status >= 200:  # noqa: PLR2004 - what is below only announces the answer
            break
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    keep = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    elif (length := headers.get("content-length")) is not None:
        body = await reader.readexactly(int(length))
    else:
        body, keep = await reader.read(), False
    return WebAnswer(status, headers, body), keep


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks: list[bytes] = []
    while True:
        size = (await reader.readuntil(b"\r\n")).partition(b";")[0].strip()
        if len(size) > _DIGITS:
            msg = "the size of a chunk is no number"
            raise ValueError(msg)
        if number := int(size, 16):
            chunks.append(await reader.readexactly(number))
            await reader.readexactly(2)
            continue
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(chunks)
