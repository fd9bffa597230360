"""Connections to addresses that were checked, and to nothing else.

The guard is asked where the connection is made, not before: between a check and a second look-up a name may change its
address. TLS is told the host name, so certificates are verified as ever.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import certifi
import httpcore

from headway.httpjobs.errors import HttpRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.httpjobs.guard import Guard

_EACH: Final = 10.0  # seconds for one of several addresses


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """A network in which only checked addresses exist."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of the host that answers."""
        *others, last = (await self._guard.check(host, port)).addresses
        each = _EACH if timeout is None else min(timeout, _EACH)
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._to(address, port, each, local_address, socket_options)
        return await self._to(last, port, timeout, local_address, socket_options)

    async def _to(
        self,
        address: str,
        port: int,
        timeout: float | None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no URL names one."""
        del timeout, socket_options
        msg = f"a socket file may not be reached: {path}"
        raise HttpRefusedError(msg)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)


def tls(ca_file: str) -> ssl.SSLContext:
    """Return what verifies targets: the certificates of the system, those of certifi, and of one more file."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
