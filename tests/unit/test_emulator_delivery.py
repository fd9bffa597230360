"""The emulator's HTTP transport, against servers that behave badly."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from headway.emulator.delivery import HttpDelivery
from headway.emulator.target import HttpAnswer, HttpCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nhi"


class Server:
    def __init__(self, serve: Serve) -> None:
        self.connections = 0
        self.port = 0
        self._serve = serve

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went, or the test ends
        finally:
            writer.close()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[tuple[Server, HttpDelivery]]:
    server, delivery = Server(serve), HttpDelivery()
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server, delivery
    finally:
        await delivery.close()
        listening.close()


def call(
    port: int, *, path: str = "/", body: bytes = b"x", method: str = "POST", timeout_ms: int = 20_000
) -> HttpCall:
    return HttpCall(f"http://127.0.0.1:{port}{path}", method, {"X-Own": "ü"}, body, "task", 1, timeout_ms)


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


def answering(*answers: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for answer in answers:
            await request(reader)
            writer.write(answer)
            await writer.drain()

    return serve


async def test_a_connection_is_used_again() -> None:
    async with serving(answering(OK, OK, OK)) as (server, delivery):
        for _ in range(3):
            answer = await delivery(call(server.port))
            assert answer is not None
            assert (answer.status, answer.headers["retry-after"]) == (200, "7")
        assert server.connections == 1


async def test_an_idle_connection_that_was_closed_is_no_failed_attempt() -> None:
    async with serving(answering(OK)) as (server, delivery):
        for _ in range(3):
            answer = await delivery(call(server.port))
            assert answer is not None
        assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_every_form_of_answer_is_understood(answer: bytes) -> None:
    async with serving(answering(answer)) as (server, delivery):
        for _ in range(2):
            assert (await delivery(call(server.port))).__class__ is HttpAnswer


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 2",
    ],
)
async def test_an_answer_that_breaks_off_is_none(answer: bytes) -> None:
    async with serving(answering(answer)) as (server, delivery):
        assert await delivery(call(server.port)) is None


async def test_an_early_no_to_a_large_body_is_heard_and_the_connection_goes_on() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            await reader.readexactly(1_000_000)

    async with serving(serve) as (server, delivery):
        for _ in range(2):
            answer = await delivery(call(server.port, body=b"x" * 1_000_000))
            assert answer is not None
            assert answer.status == 413
        assert server.connections == 1


async def test_no_answer_within_the_time_is_told_from_a_broken_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.read()

    async with serving(serve) as (server, delivery):
        with pytest.raises(TimeoutError, match="within 50 ms"):
            await delivery(call(server.port, timeout_ms=50))


async def test_a_timeout_of_the_system_is_a_broken_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def times_out(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(asyncio, "open_connection", times_out)
    assert await HttpDelivery()(call(1)) is None


class Dying:
    """Answers until it is told to die; then it takes each request and dies over it."""

    def __init__(self, connections: int) -> None:
        self.taken = 0
        self.dying = False
        self.all_here = asyncio.Barrier(connections)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            await request(reader)
            if self.dying:
                self.taken += 1
                return
            await self.all_here.wait()  # until each has a connection of its own
            writer.write(OK)
            await writer.drain()


async def test_a_request_that_was_taken_is_sent_no_second_time() -> None:
    target = Dying(20)
    async with serving(target.serve) as (server, delivery):
        await asyncio.gather(*(delivery(call(server.port)) for _ in range(20)))
        assert server.connections == 20
        target.dying = True
        assert await delivery(call(server.port)) is None
        assert target.taken == 1
        assert server.connections == 20


async def test_a_connection_that_fails_under_the_request_is_repeated_once_on_a_fresh_one() -> None:
    went = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number <= 2:
            await request(reader)
            await both.wait()
            writer.write(OK)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head
        writer.transport.abort()  # the body is larger than what the system takes by itself
        went.set()

    both = asyncio.Barrier(2)
    async with serving(serve) as (server, delivery):
        await asyncio.gather(*(delivery(call(server.port)) for _ in range(2)))
        assert await delivery(call(server.port, body=b"x" * 50_000_000)) is None
        assert went.is_set()
        assert server.connections == 3


async def test_what_is_sent() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            seen.append(await request(reader))
            writer.write(OK)

    async with serving(serve) as (server, delivery):
        await delivery(call(server.port, path="/a b/ü%20?q=1 2#no", body=b"hi"))
        await delivery(call(server.port, method="GET", body=b"", path=""))
        host = f"host: 127.0.0.1:{server.port}".encode()
    assert seen[0].startswith(b"POST /a%20b/%C3%BC%20?q=1%202 HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\nhi")
    assert seen[1].startswith(b"GET / HTTP/1.1\r\n")
    assert b"content-length" not in seen[1].lower()
    for sent in seen:
        assert host in sent.lower()
        assert "X-Own: ü".encode() in sent


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://[::1]:1/",
        "https://127.0.0.1:1/",
        "http://x:port/",
        "http://a..b/",
        "http://nowhere.invalid/",
    ],
)
async def test_what_cannot_be_reached_is_none(url: str) -> None:
    delivery = HttpDelivery()
    assert await delivery(HttpCall(url, "POST", {}, b"", "task", 1, 20_000)) is None
    await delivery.close()
