"""From a host name to addresses that may be reached: resolved once, judged, and then connected to as they are."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from headway.httpjobs.addresses import refusal
from headway.httpjobs.errors import HttpRefusedError, HttpUnavailableError
from headway.httpjobs.policy import is_named, parted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.httpjobs.addresses import Address
    from headway.httpjobs.policy import HttpPolicy

Resolve: TypeAlias = "Callable[[str, int], Awaitable[list[str]]]"
_MOST: Final = 16  # addresses of a name that are tried
_LOOKUPS: Final = 32  # names that are resolved at once


class Checked(Struct, frozen=True):
    """Addresses that may be reached; `trusted`: because the operator named the host or its network."""

    addresses: tuple[str, ...]
    trusted: bool


class SystemResolver:
    """The resolver of this machine, in threads of its own.

    A name server that does not answer holds a thread for many seconds. Those of the event loop are few, and others
    need them.
    """

    def __init__(self) -> None:
        """Threads are started as they are needed."""
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="headway-resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses; OSError."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [str(one[4][0]) for one in found]


class Guard:
    """Decides where a worker's calls may go."""

    def __init__(self, policy: HttpPolicy, resolver: Resolve | None = None) -> None:
        """`resolver` is the system's, but in tests."""
        self._networks, self._hosts = parted(policy.allow)
        self._resolve: Resolve = resolver or SystemResolver()

    async def check(self, host: str, port: int) -> Checked:
        """Resolve a host and judge all of its addresses: one bad one among good ones is refused as a whole.

        HttpRefusedError; HttpUnavailableError when the name cannot be resolved now.
        """
        try:
            found = [ip_address(host)]
        except ValueError:
            found = await self._addresses(host, port)
        by_name = is_named(host, self._hosts)
        trusted = by_name
        for address in found:
            if by_name:
                continue
            if why := refusal(address, self._networks):
                msg = f"{_named(host, address)} may not be reached: {why}; allow its network or host in the policy"
                raise HttpRefusedError(msg)
            trusted = trusted or bool(refusal(address))
        return Checked(tuple(map(str, found)), trusted)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            texts = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            msg = f"host {host!r} cannot be resolved: {error}"
            raise HttpUnavailableError(msg) from error
        found: list[Address] = []
        for text in dict.fromkeys(texts):
            try:
                found.append(ip_address(text))
            except ValueError as error:  # with a zone, such as fe80::1%eth0: of this machine's own networks
                msg = f"host {host!r} has an address that may not be reached: {text[:60]!r}"
                raise HttpRefusedError(msg) from error
        if not found:
            msg = f"host {host!r} has no address"
            raise HttpUnavailableError(msg)
        return found[:_MOST]


def _named(host: str, address: Address) -> str:
    return str(address) if host == str(address) else f"host {host!r} with the address {address}"
