"""One connection as it is made: TCP, TLS, and what the server is told first.

By hand, and not by redis-py, which takes as long to import as all of Headway and 9 MB: of all that it can do, a carrier
would use these few steps, once a connection.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import hiredis

from headway.brokers.redis.wire.errors import ProtocolError, WireError, error_of
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.redis.location import Address, Location

Command: TypeAlias = "tuple[bytes | str | int, ...]"

CONNECT_TIMEOUT: Final = 3.0  # seconds for the connection and its greeting
# hiredis annotates it as taking one part, and says nothing of the result.
_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
_KEEPALIVE_IDLE: Final = 15  # seconds: below the idle limit of every host and balancer that is known to cut
_KEEPALIVE: Final = {
    option: value
    for name, value in (("TCP_KEEPIDLE", _KEEPALIVE_IDLE), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if (option := getattr(socket, name, None)) is not None
}
_READ: Final = 65536
_NOTHING: Final = object()  # hiredis returns it when no whole reply has arrived
_VERIFY: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def pack(*parts: bytes | str | int) -> bytes:
    """Write one command in the protocol of Redis."""
    return _pack(parts)


class Wire:
    """An open connection that asks and waits for the answer; until its transport is given another protocol."""

    def __init__(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.address = address
        self._stream = reader
        self._writer = writer
        self._replies = hiredis.Reader(
            protocolError=ProtocolError, replyError=error_of, notEnoughData=_NOTHING
        )

    @property
    def transport(self) -> asyncio.Transport:
        """The open transport below; all replies to what was asked have been read from it."""
        return cast("asyncio.Transport", self._writer.transport)

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands together and return their replies; the first error among them is raised."""
        self._writer.write(b"".join(map(_pack, commands)))
        return [await self._read() for _ in commands]

    async def _read(self) -> Any:  # noqa: ANN401 - whatever the server answers
        replies = self._replies
        while (reply := replies.gets()) is _NOTHING:
            data = await self._stream.read(_READ)
            if not data:
                msg = "the server closed the connection"
                raise WireError(msg)
            replies.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """Close it; what was written is still sent. Closing a closed one does nothing."""
        self._writer.close()


async def open_wire(where: Location, address: Address, greeting: Sequence[Command]) -> Wire:
    """Connect and say the greeting.

    Raises WireError when there is no connection, ErrorReply when the server does not accept the greeting, ConfigError
    when an option of the URL has no meaning.
    """
    host, port = address
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            wire = Wire(address, *await asyncio.open_connection(host, port, ssl=tls_of(where)))
    except TimeoutError as error:
        msg = f"no connection to {host}:{port} within {CONNECT_TIMEOUT:g} s"
        raise WireError(msg) from error
    except OSError as error:
        raise WireError(_reason(error, f"{host}:{port}")) from error
    try:
        below: socket.socket | None = wire.transport.get_extra_info("socket")
        if below is not None:
            keep_alive(below)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await wire.ask(*greeting)
    except BaseException:
        wire.close()
        raise
    return wire


def greeting(*, username: str | None, password: str | None, client: str, db: int) -> list[Command]:
    """Return what a server is told first: who we are, the connection's name, the database."""
    commands: list[Command] = []
    if username:
        commands.append((b"AUTH", username, password or ""))
    elif password:
        commands.append((b"AUTH", password))
    if client:
        commands.append((b"CLIENT", b"SETNAME", client))
    if db:
        commands.append((b"SELECT", db))
    return commands


def keep_alive(below: socket.socket) -> None:
    """Have the system find out, and others notice, whether an idle connection still stands; WireError: it does not."""
    try:
        below.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            below.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError as error:  # it has ended meanwhile
        raise WireError(str(error)) from error


def _verify(where: Location) -> ssl.VerifyMode:
    given = dict(where.tls_options).get("ssl_cert_reqs", "required")
    if given not in _VERIFY:
        msg = f"{where.name}: ssl_cert_reqs must be one of {', '.join(_VERIFY)}"
        raise ConfigError(msg)
    return _VERIFY[given]


def tls_of(where: Location) -> ssl.SSLContext | None:
    """Return what a connection is encrypted by, None without TLS; ConfigError when an option has no meaning."""
    if not where.tls:
        return None
    options, verify = dict(where.tls_options), _verify(where)
    context = ssl.create_default_context()
    checked = options.get("ssl_check_hostname", "").lower() not in {"0", "false", "no"}
    context.check_hostname = checked and verify is not ssl.CERT_NONE
    context.verify_mode = verify
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if certificate or key:
        context.load_cert_chain(certificate or "", key)
    file, folder = options.get("ssl_ca_certs"), options.get("ssl_ca_path")
    if file or folder:
        context.load_verify_locations(file, folder)
    return context


def _reason(error: OSError, where: str) -> str:
    """Say why there is no connection, in the same words on each event loop."""
    if isinstance(error, ssl.SSLError | socket.gaierror) or not error.errno:
        text = error.strerror or str(error)
    else:
        text = os.strerror(error.errno)
    return f"Error {error.errno} connecting to {where}. {text}." if error.errno else f"{where}: {text}"
