"""Finds the server that holds an app's keys, by Sentinel or Cluster where there is one, and connects to it."""

from __future__ import annotations

import asyncio
import os
from binascii import crc_hqx
from typing import TYPE_CHECKING, Any, Final, cast

from headway.brokers.redis.wire.errors import ErrorReply, WireError
from headway.brokers.redis.wire.greeting import CONNECT_TIMEOUT, greeting, open_wire

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headway.brokers.redis.location import Address, Location
    from headway.brokers.redis.wire.greeting import Command, Wire

_SLOTS: Final = 16384  # of a Cluster


class Connector:
    """Opens connections. One for each process and URL; it remembers which servers it has learnt of."""

    def __init__(self, location: Location, *, namespace: str, key: str) -> None:
        """`key` is any key of the app: its slot decides on the server in a Cluster."""
        self.location = location
        # Redis takes visible ASCII only.
        visible = "".join(character if "!" <= character <= "~" else "_" for character in namespace)
        self._client = f"headway:{visible}"
        self._slot = slot_of(key.encode())
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
        """Note that another server holds the keys now: `address`, or None where it is not known which."""
        self._owner = address

    def greeting(self, role: str) -> list[Command]:
        """Return what the server is told first on a connection for `role`."""
        where = self.location
        client = f"{self._client}:{role}:{os.getpid()}"
        return greeting(username=where.username, password=where.password, client=client, db=where.db)

    async def connect(self, role: str) -> Wire:
        """Open a connection for `role`. Raises WireError (an ErrorReply too), TimeoutError or ConfigError."""
        async with asyncio.timeout(CONNECT_TIMEOUT * 2):
            address = await self._locate()
            try:
                wire = await self._wire(address, role)
                try:
                    await self._check_role(wire)
                except BaseException:
                    wire.close()
                    raise
            except BaseException:
                self._owner = None
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
        failure: Exception = WireError("no address answered")
        for address in addresses:
            try:
                return cast("Address", await ask(address))
            except (WireError, OSError, TimeoutError) as error:
                if isinstance(error, ErrorReply) and error.is_of_login:
                    raise
                failure = error
        raise failure

    async def _ask_sentinel(self, address: Address) -> Address:
        where = self.location
        login = greeting(username=where.sentinel_username, password=where.sentinel_password, client="", db=0)
        reply = await _ask_once(
            open_wire(where, address, login),
            (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", where.service.encode()),
        )
        if not reply:
            msg = f"Sentinel {address[0]}:{address[1]} knows no primary {where.service!r}"
            raise WireError(msg)
        return reply[0].decode(), int(reply[1])

    async def _ask_node(self, address: Address) -> Address:
        owner: Address | None = None
        seen: list[Address] = []
        for first, last, primary, *_ in await _ask_once(self._wire(address, "seek"), (b"CLUSTER", b"SLOTS")):
            host = primary[0].decode() if primary[0] else address[0]
            seen.append((host, int(primary[1])))
            if first <= self._slot <= last:
                owner = seen[-1]
        if owner is None:
            msg = f"no node of the Cluster serves slot {self._slot}"
            raise WireError(msg)
        self._learnt = list(dict.fromkeys(seen))
        return owner

    async def _check_role(self, wire: Wire) -> None:
        if self.location.layout != "sentinel":
            return
        # Sentinels may still name a primary that has just been replaced.
        (reply,) = await wire.ask((b"ROLE",))
        if reply[0] != b"master":
            msg = f"the server that Sentinel named is no primary of {self.location.service!r} (yet)"
            raise WireError(msg)

    async def _wire(self, address: Address, role: str) -> Wire:
        return await open_wire(self.location, address, self.greeting(role))


def slot_of(key: bytes) -> int:
    """Return the slot of a key in a Cluster, from the text in its first braces if there is any."""
    _, brace, rest = key.partition(b"{")
    tag, closing, _ = rest.partition(b"}")
    return crc_hqx(tag if brace and closing and tag else key, 0) % _SLOTS


async def _ask_once(opening: Awaitable[Wire], command: Command) -> Any:  # noqa: ANN401 - whatever the server answers
    async with asyncio.timeout(CONNECT_TIMEOUT):
        wire = await opening
        try:
            (reply,) = await wire.ask(command)
        finally:
            wire.close()
        return reply
