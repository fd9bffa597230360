"""Connections on which nothing runs do not keep a place for ever, and keep nobody out."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headway.emulator.http import HttpServer
from headway.http.server import Connections, name_lack_of_descriptors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
HALF = HEAD + b"X-More: "
SOON = 0.2  # seconds for a head


class Served:
    """An application that answers when it is let."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.begun = asyncio.Event()
        self.port = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        self.begun.set()
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@asynccontextmanager
async def serving(connections: Connections) -> AsyncIterator[Served]:
    served = Served()
    server = HttpServer(served, "127.0.0.1", 0, connections=connections)
    served.port = await server.start()
    try:
        yield served
    finally:
        await server.stop()


async def answered(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(2)


async def ended(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(20):
        try:
            return not await reader.read()
        except ConnectionResetError:
            return True


@pytest.mark.parametrize("sent", [b"", b"P", HALF])
async def test_half_a_head_is_not_waited_for(sent: bytes) -> None:
    async with serving(Connections(head_seconds=SOON)) as served:
        reader, writer = await served.connect()
        writer.write(sent)
        assert await ended(reader)
        writer.close()


async def test_bytes_that_dribble_in_do_not_prolong_it() -> None:
    async with serving(Connections(head_seconds=SOON)) as served:
        reader, writer = await served.connect()
        gone = asyncio.create_task(ended(reader))
        while not gone.done():
            writer.write(b"X")
            await asyncio.wait([gone], timeout=SOON / 20)
        assert await gone
        writer.close()


async def test_the_head_of_a_second_request_is_not_waited_for_either() -> None:
    async with serving(Connections(head_seconds=SOON)) as served:
        reader, writer = await served.connect()
        for _ in range(2):
            writer.write(HEAD + b"\r\nhi")
            assert await answered(reader) == b"ok"
        writer.write(HALF)
        assert await ended(reader)
        writer.close()


async def test_a_request_under_way_has_its_time() -> None:
    async with serving(Connections(head_seconds=SOON, most=32)) as served:
        served.go_on.clear()
        reader, writer = await served.connect()
        writer.write(HEAD + b"\r\nhi")
        await served.begun.wait()
        others = [await served.connect() for _ in range(40)]
        for half, _ in others:
            assert await ended(half)  # so the time for a head is over
        served.go_on.set()
        assert await answered(reader) == b"ok"
        for _, other in (*others, (reader, writer)):
            other.close()


async def test_too_many_half_heads_keep_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Connections(head_seconds=1000, most=32)) as served:
        halves = [await served.connect() for _ in range(100)]
        for _, writer in halves:
            writer.write(HALF)
        reader, writer = await served.connect()
        writer.write(HEAD + b"\r\nhi")
        assert await answered(reader) == b"ok"
        assert await ended(halves[0][0])
        for _, other in (*halves, (reader, writer)):
            other.close()
    assert len([record for record in caplog.records if "make way" in record.getMessage()]) == 1


async def test_want_of_descriptors_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    try:
        name_lack_of_descriptors(loop)
        with caplog.at_level(logging.ERROR):
            for _ in range(128):
                loop.call_exception_handler({"message": "socket.accept() out of system resource"})
            loop.call_exception_handler({"message": "something else"})
    finally:
        loop.set_exception_handler(before)
    assert [record.name for record in caplog.records] == ["headway.serving", "asyncio"]
    assert "ulimit -n" in caplog.records[0].getMessage()
