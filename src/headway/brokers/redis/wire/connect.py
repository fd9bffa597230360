"""Connections to the server that holds an app's keys: wherever Sentinel or the Cluster say it is."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import hiredis
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection
from redis.crc import key_slot

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headway.brokers.redis.location import Address, Location

CONNECT_TIMEOUT: Final = 3.0  # seconds for the connection and its greeting
# hiredis annotates it as taking one part, and says nothing of the result.
_pack = cast("Callable[[tuple[bytes | str | int, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
_KEEPALIVE_IDLE: Final = 15  # seconds: below the idle limit of every host and balancer that is known to cut
_KEEPALIVE: Final = {
    option: value
    for name, value in (("TCP_KEEPIDLE", _KEEPALIVE_IDLE), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if (option := getattr(socket, name, None)) is not None
}


class Wire(Protocol):
    """The part of redis-py's connection that is used: it connects, greets, packs and parses."""

    async def connect(self) -> None:
        """Connect and greet: TLS, AUTH, SELECT, CLIENT SETNAME."""
        ...

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Close the socket."""
        ...

    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Write packed commands."""
        ...

    async def read_response(
        self,
        *,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - redis-py's signature
        disconnect_on_error: bool = True,
    ) -> Any:  # noqa: ANN401 - whatever the server answers
        """Read one reply; an error reply is raised."""
        ...


class Target:
    """Where to connect to. One for each process and URL; it remembers what it learnt of the servers."""

    def __init__(self, location: Location, *, namespace: str, key: str) -> None:
        """`key` is any key of the app: its slot decides on the server in a Cluster."""
        self.location = location
        # Redis takes visible ASCII only.
        plain = "".join(character if "!" <= character <= "~" else "_" for character in namespace)
        self._client = f"headway:{plain}"
        self._slot = int(key_slot(key.encode()))
        self._learnt: list[Address] = []
        self._owner: Address | None = None

    @property
    def name(self) -> str:
        """The URL without secrets, for messages."""
        return self.location.name

    @property
    def movable(self) -> bool:
        """Whether another server may take over."""
        return self.location.layout != "standalone"

    def moved(self, address: Address | None) -> None:
        """Take note that the server is no longer in charge, and who is if that is known."""
        self._owner = address

    async def connect(self, role: str) -> Wire:
        """Open a connection for `role`. Raises what redis-py raises, or TimeoutError."""
        async with asyncio.timeout(CONNECT_TIMEOUT * 2):
            wire = self._wire(await self._locate(), role)
            try:
                await wire.connect()
                await self._check_role(wire)
            except BaseException:
                self._owner = None
                with suppress(exceptions.RedisError, OSError):
                    await wire.disconnect(nowait=True)
                raise
            return wire

    async def _locate(self) -> Address:
        match self.location.layout:
            case "standalone":
                return self.location.addresses[0]
            case "sentinel":
                return await self._ask_all(self.location.addresses, self._ask_sentinel)
            case "cluster":
                if self._owner is None:
                    seeds = [*self._learnt, *self.location.addresses]
                    self._owner = await self._ask_all(tuple(dict.fromkeys(seeds)), self._ask_node)
                return self._owner

    async def _ask_all(self, addresses: tuple[Address, ...], ask: Any) -> Address:  # noqa: ANN401 - a bound method
        failure: Exception = exceptions.ConnectionError("no address answered")
        for address in addresses:
            try:
                return cast("Address", await ask(address))
            except exceptions.AuthenticationError:
                raise
            except (exceptions.RedisError, OSError, TimeoutError) as error:
                failure = error
        raise failure

    async def _ask_sentinel(self, address: Address) -> Address:
        where = self.location
        wire = _build(
            where,
            address,
            username=where.sentinel_username,
            password=where.sentinel_password,
            client="",
            db=0,
        )
        reply = await _ask_once(wire, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", where.service.encode())
        if not reply:
            msg = f"Sentinel {address[0]}:{address[1]} knows no primary {where.service!r}"
            raise exceptions.ConnectionError(msg)
        return reply[0].decode(), int(reply[1])

    async def _ask_node(self, address: Address) -> Address:
        wire = self._wire(address, "seek")
        owner: Address | None = None
        seen: list[Address] = []
        for first, last, primary, *_ in await _ask_once(wire, b"CLUSTER", b"SLOTS"):
            host = primary[0].decode() if primary[0] else address[0]
            seen.append((host, int(primary[1])))
            if first <= self._slot <= last:
                owner = seen[-1]
        if owner is None:
            msg = f"no node of the Cluster serves slot {self._slot}"
            raise exceptions.ConnectionError(msg)
        self._learnt = list(dict.fromkeys(seen))
        return owner

    async def _check_role(self, wire: Wire) -> None:
        if self.location.layout != "sentinel":
            return
        # Sentinels may still name a primary that has just been replaced.
        reply = await _ask(wire, b"ROLE")
        if reply[0] != b"master":
            msg = f"the server that Sentinel named is no primary of {self.location.service!r} (yet)"
            raise exceptions.ConnectionError(msg)

    def _wire(self, address: Address, role: str) -> Wire:
        where = self.location
        client = f"{self._client}:{role}:{os.getpid()}"
        return _build(
            where, address, username=where.username, password=where.password, client=client, db=where.db
        )


def _build(
    where: Location, address: Address, *, username: str | None, password: str | None, client: str, db: int
) -> Wire:
    options: dict[str, Any] = {
        "host": address[0],
        "port": address[1],
        "db": db,
        "username": username,
        "password": password,
        "client_name": client or None,
        "socket_timeout": None,  # redis-py's 5 s would cut a connection that waits
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "socket_keepalive_options": _KEEPALIVE,
        "protocol": 2,
        "driver_info": None,  # no CLIENT SETINFO: Redis 6.2 does not know it
        "socket_read_size": 256 * 1024,
    }
    if not where.tls:
        return cast("Wire", Connection(**options))
    options.update(where.tls_options)
    if options.get("ssl_check_hostname") is not None:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() not in {"0", "false", "no"}
    try:
        return cast("Wire", SSLConnection(**options))
    except exceptions.RedisError as error:
        msg = f"{where.name}: {error}"
        raise ConfigError(msg) from error


def pack(*parts: bytes | str | int) -> bytes:
    """Write one command in the protocol of Redis."""
    return _pack(parts)


def transport_of(wire: Wire) -> asyncio.Transport:
    """Return the open transport below a connection: redis-py has no public way to it."""
    return cast("asyncio.Transport", cast("Any", wire)._writer.transport)  # noqa: SLF001 - see above


async def _ask(wire: Wire, *command: bytes) -> Any:  # noqa: ANN401 - whatever the server answers
    await wire.send_packed_command([pack(*command)], check_health=False)
    return await wire.read_response(disable_decoding=True, timeout=None)


async def _ask_once(wire: Wire, *command: bytes) -> Any:  # noqa: ANN401 - whatever the server answers
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await wire.connect()
            return await _ask(wire, *command)
    finally:
        with suppress(exceptions.RedisError, OSError):
            await wire.disconnect(nowait=True)
