"""A Redis behind TLS: whom the carrier trusts, what it shows, and what it says when it does not."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headway.brokers.redis.wire import commands
from headway.errors import BrokerRefusedError, BrokerUnavailableError, ConfigError
from tests.integration.redis_app import broker, claim, job
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the loopback that nobody else has signed, and its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


class Front:
    """TLS before a Redis, as a balancer or stunnel has it."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        self._target, self._tls = port, tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self._target)
        for source, target in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(_pass_on(source, target)))


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
    finally:
        target.close()


@pytest.fixture
async def port(redis_server: RedisServer, certificate: Path) -> AsyncIterator[int]:
    """Of a front that shows the certificate and asks for none."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with Front(redis_server.port, tls) as port:
        yield port


@pytest.mark.parametrize(
    "options", ["ssl_ca_certs={0}", "ssl_cert_reqs=none", "ssl_ca_certs={0}&ssl_check_hostname=no"]
)
async def test_jobs_go_through(port: int, certificate: Path, namespace: str, options: str) -> None:
    async with broker(f"rediss://{HOST}:{port}/0?{options.format(certificate)}", namespace) as carrier:
        jobs = [job() for _ in range(300)]
        await carrier.enqueue(jobs)
        claimed = await claim(carrier, 300)
        assert [one.lease.job_id for one in claimed] == [one.id for one in jobs]


async def test_blocking_enqueues_do_without_the_loop(port: int, certificate: Path, namespace: str) -> None:
    async with broker(f"rediss://{HOST}:{port}/0?ssl_ca_certs={certificate}", namespace) as carrier:
        jobs = [job() for _ in range(20)]
        await carrier.enqueue(jobs[:1])  # and the kind of its task is known
        for one in jobs[1:]:
            assert await asyncio.to_thread(carrier.enqueue_blocking, one)
        assert [one.lease.job_id for one in await claim(carrier, 20)] == [one.id for one in jobs]


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    port: int, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_OPEN_DEADLINE", 0.0)
    with pytest.raises(BrokerUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        async with broker(f"rediss://{HOST}:{port}/0", namespace):
            pass


@pytest.mark.parametrize(
    ("host", "checked", "accepted"), [("localhost", "yes", False), ("localhost", "no", True)]
)
async def test_the_name_is_compared_unless_told_otherwise(
    port: int,
    certificate: Path,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    host: str,
    checked: str,
    accepted: bool,
) -> None:
    monkeypatch.setattr(commands, "_OPEN_DEADLINE", 0.0)
    options = f"ssl_ca_certs={certificate}&ssl_check_hostname={checked}"
    carrier = broker(f"rediss://{host}:{port}/0?{options}", namespace)
    if accepted:
        async with carrier:
            await carrier.enqueue([job()])
    else:
        with pytest.raises(BrokerUnavailableError, match="Hostname mismatch"):
            await carrier.open()


@pytest.mark.parametrize("shown", [True, False])
async def test_a_client_shows_its_own_certificate(
    redis_server: RedisServer,
    certificate: Path,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    shown: bool,
) -> None:
    monkeypatch.setattr(commands, "_OPEN_DEADLINE", 0.0)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    tls.load_cert_chain(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    own = f"&ssl_certfile={certificate}&ssl_keyfile={certificate}" if shown else ""
    async with Front(redis_server.port, tls) as port:
        carrier = broker(f"rediss://{HOST}:{port}/0?ssl_ca_certs={certificate}{own}", namespace)
        if shown:
            async with carrier:
                await carrier.enqueue([job()])
        else:
            with pytest.raises(BrokerUnavailableError):
                await carrier.open()


async def test_a_file_that_is_not_there_is_said(
    port: int, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_OPEN_DEADLINE", 0.0)
    with pytest.raises(BrokerUnavailableError, match="No such file"):
        await broker(f"rediss://{HOST}:{port}/0?ssl_ca_certs=/nowhere.pem", namespace).open()


async def test_an_option_without_a_meaning_is_said(port: int, namespace: str) -> None:
    with pytest.raises(ConfigError, match="ssl_cert_reqs must be one of none, optional, required"):
        await broker(f"rediss://{HOST}:{port}/0?ssl_cert_reqs=maybe", namespace).open()


@pytest.mark.parametrize(
    ("login", "fault"),
    [
        (":right@", None),
        ("default:right@", None),
        (":wrong@", "does not accept the user or the password"),
        ("nobody:right@", "does not accept the user or the password"),
        ("", "wants a password"),
    ],
)
async def test_logins(namespace: str, login: str, fault: str | None) -> None:
    with RedisServer(password="right") as server:
        carrier = broker(f"redis://{login}{HOST}:{server.port}/3", namespace)
        if fault is None:
            async with carrier:
                await carrier.enqueue([job()])
            assert server.call("SELECT", 3) == "OK"
        else:
            with pytest.raises(BrokerRefusedError, match=fault):
                await carrier.open()
