"""A Redis by HTTP: what answers in its stead is no answer, and the call is repeated."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.errors import BrokerRefusedError
from headway.storage.patience import Unanswered
from headway.storage.redis.http import HttpRedis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """Answers in the service's stead: first with `bodies`, then as the service does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.requests = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
                self.requests += 1
                body = self.bodies.pop(0) if self.bodies else b'{"result":"PONG"}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"down"',
        b"17",
        b"[" * 100_000,
        b"<html>",
        b"\xff",
        b"{}",
    ],
)
async def test_what_is_no_answer_of_the_service_is_asked_for_again(proxy: Proxy, body: bytes) -> None:
    proxy.bodies = [body]
    server = HttpRedis(f"http://:token@127.0.0.1:{proxy.port}")
    await server.open()
    try:
        answer = await server.command("PING")
    finally:
        await server.close()
    assert (answer.value, answer.repeated, proxy.requests) == ("PONG", True, 2)


async def test_the_error_says_what_answered(proxy: Proxy) -> None:
    proxy.bodies = [b"[1]"]
    server = HttpRedis(f"http://:token@127.0.0.1:{proxy.port}")
    await server.open()
    try:
        with pytest.raises(Unanswered, match=r"JSON, but no object: b'\[1\]'"):
            await server._execute(["PING"])
    finally:
        await server.close()


async def test_what_the_service_refuses_is_no_passing_failure(proxy: Proxy) -> None:
    proxy.bodies = [b'{"error":"ERR no such command"}']
    server = HttpRedis(f"http://:token@127.0.0.1:{proxy.port}")
    await server.open()
    try:
        with pytest.raises(BrokerRefusedError, match="no such command"):
            await server.command("PINK")
    finally:
        await server.close()
