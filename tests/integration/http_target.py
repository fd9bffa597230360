"""A target of HTTP jobs: it notes what it is sent, and answers as it is told, well or badly."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Answering = Callable[["Seen", asyncio.StreamWriter], Awaitable[None]]


class Seen(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Target:
    """Answers each request with the next of its answers, and the last one for ever."""

    def __init__(self, *answers: bytes | Answering) -> None:
        self.answers: list[bytes | Answering] = list(answers) or [answer()]
        self.seen: list[Seen] = []
        self.port = 0
        self.sent = 0
        self.open = 0
        self.most_open = 0
        self._serving: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            seen = await _read(reader)
            self.seen.append(seen)
            told = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
            if isinstance(told, bytes):
                writer.write(told)
                await writer.drain()
            else:
                await told(seen, writer)
        self.open -= 1
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        del self._serving[task]

    async def close(self) -> None:
        """End what is still being answered."""
        for task, writer in list(self._serving.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def endless(self, __: Seen, writer: asyncio.StreamWriter) -> None:
        """A gigabyte."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        chunk = b"x" * 65536
        for _ in range(1073741824 // len(chunk)):
            writer.write(chunk)
            await writer.drain()
            self.sent += len(chunk)


async def silent(_: Seen, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.sleep(3600)


async def dripping(_: Seen, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then: as slow as a byte a minute, seen from a limit that is as much shorter."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.1)


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def delayed(seconds: float, told: bytes) -> Answering:
    async def after(_: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(told)
        await writer.drain()

    return after


@asynccontextmanager
async def serving(
    *answers: bytes | Answering, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Target]:
    target = Target(*answers)
    server = await asyncio.start_server(target.serve, host, port, ssl=tls)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()
        await target.close()


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Seen(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def certificate(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """Make one that signs itself; return its file, and what a server of that host uses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, private = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return file, context
