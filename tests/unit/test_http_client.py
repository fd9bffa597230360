"""The small HTTP client: what it sends, what it takes for an answer, which connections it keeps."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headway.http.client import WebAnswer, WebClient, WebError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi"


class Server:
    """Answers each request with the next of its answers; None: cuts the connection in its stead."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.open: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                ends = b"close" in answer or answer.startswith(b"HTTP/1.0") or b"Length" not in answer
                if ends and b"chunked" not in answer:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is seen by the loop itself
            await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    *answers: bytes | None, tls: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Server, WebClient]]:
    server = Server(*answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    address = f"https://localhost:{server.port}/p" if tls else f"http://127.0.0.1:{server.port}"
    client = WebClient(address, tls=lambda: trust or ssl.create_default_context())
    try:
        yield server, client
    finally:
        await client.close()
        listening.close()


async def test_it_posts_and_keeps_the_connection() -> None:
    async with serving(OK, OK) as (server, client):
        for _ in range(2):
            assert await client.post({"Authorization": "Bearer t"}, b"[1]") == WebAnswer(
                200, {"content-length": "2", "x-a": "b"}, b"hi"
            )
        assert server.connections == 1
        assert (
            server.requests[0]
            == (
                f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer t\r\n"
                "Content-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]"
            ).encode()
        )


async def test_posts_at_the_same_time_have_connections_of_their_own() -> None:
    async with serving(*[OK] * 6) as (server, client):
        await asyncio.gather(*(client.post({}, b"") for _ in range(3)))
        await asyncio.gather(*(client.post({}, b"") for _ in range(3)))
        assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n", b"abc0123456789"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nhi", b"hi"),
    ],
)  # fmt: skip
async def test_it_reads_every_form_of_answer_and_goes_on(answer: bytes, body: bytes) -> None:
    async with serving(answer, OK) as (_, client):
        assert (await client.post({}, b"")).body == body
        assert (await client.post({}, b"")).body == b"hi"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"SSH-2.0-x close\r\n\r\n",
        b"HTTP/1.1 abc close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nconnection: close\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 40 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"close\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_an_error_and_the_connection_is_not_used_again(
    answer: bytes | None,
) -> None:
    async with serving(answer, OK) as (server, client):
        with pytest.raises(WebError):
            await client.post({}, b"")
        assert (await client.post({}, b"")).body == b"hi"
        assert server.connections == 2


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with serving(OK, OK) as (server, client):
        await client.post({}, b"")
        server.open[0].close()
        await server.open[0].wait_closed()
        await until(lambda: not client._idle[0].alive)
        assert (await client.post({}, b"")).body == b"hi"


async def test_a_post_that_is_cancelled_leaves_no_half_read_connection() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", OK) as (server, client):
        post = asyncio.create_task(client.post({}, b""))
        await until(lambda: bool(server.requests))
        post.cancel()
        with pytest.raises(asyncio.CancelledError):
            await post
        assert (await client.post({}, b"")).body == b"hi"
        assert server.connections == 2


async def test_nobody_there() -> None:
    async with serving() as (server, _):
        port = server.port
    client = WebClient(f"http://127.0.0.1:{port}", tls=ssl.create_default_context)
    with pytest.raises(WebError, match="Refused"):
        await client.post({}, b"")


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(minutes=5))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        path = tmp_path / "both.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        return path

    async def test_it_speaks_tls_with_whom_it_trusts(self, certificate: Path) -> None:
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(certificate)
        async with serving(OK, OK, tls=own, trust=ssl.create_default_context(cafile=str(certificate))) as (
            server,
            client,
        ):
            assert (await client.post({}, b"")).body == b"hi"
            assert (await client.post({}, b"")).body == b"hi"
            assert server.requests[0].startswith(b"POST /p HTTP/1.1\r\nHost: localhost:")
            assert server.connections == 1

    async def test_it_refuses_whom_it_does_not_trust(self, certificate: Path) -> None:
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(certificate)
        async with serving(OK, tls=own) as (server, client):
            with pytest.raises(WebError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.post({}, b"secret")
            assert server.requests == []
