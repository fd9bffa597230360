"""A server behind a socket of its own: what `headway server` runs."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import uvicorn
from msgspec import Struct

from headway.errors import ConfigError
from headway.http.server import BACKLOG, Connections, Serving, name_lack_of_descriptors
from headway.runtime.mainloop import run_main
from headway.server.access.authentication import is_loopback
from headway.server.access.keyring import Keyring
from headway.server.store.database import Database

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from headway.app.app import Headway
    from headway.server.running import Server

_log: Final = logging.getLogger("headway.server")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_KEEP_ALIVE: Final = 75  # seconds; longer than the usual proxies keep a connection, so that they close first
GRACE: Final = 10
"""Seconds from the signal to the end of what is still being answered."""


class Place(Struct, frozen=True):
    """Where a server listens. `certificate` and `key` are files for TLS."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False

    @property
    def secure(self) -> bool:
        """True where clients reach it by HTTPS."""
        return self.certificate is not None or (self.behind_proxy and not is_loopback(self.host))


async def check_exposure(app: Headway, place: Place) -> None:
    """Refuse to be reached from other machines without keys, or by plain HTTP; ConfigError says what to do."""
    if is_loopback(place.host):
        return
    if place.certificate is None and not place.behind_proxy:
        msg = (
            f"{place.host} can be reached from other machines, and keys would travel in the clear: give --tls-cert and "
            "--tls-key, or --behind-proxy where a proxy speaks HTTPS before this server"
        )
        raise ConfigError(msg)
    database = Database(app.settings.access, app.settings.namespace or app.name)
    await database.open()
    try:
        has_keys = await Keyring(database, app.clock).any()
    finally:
        await database.close()
    if not has_keys:
        msg = (
            f"{place.host} can be reached from other machines, and there is no key yet: first "
            "headway keys create --app APP --role admin --name NAME"
        )
        raise ConfigError(msg)


def run(server: Server, place: Place, listening: socket.socket, ready: Callable[[], None]) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; return the exit code. `ready` is called once it listens."""
    return run_main(_serve(server, place, listening, ready))


async def _serve(server: Server, place: Place, listening: socket.socket, ready: Callable[[], None]) -> int:
    loop = asyncio.get_running_loop()
    name_lack_of_descriptors(loop)
    serving = Serving(
        uvicorn.Config(
            server,
            http=cast("type[asyncio.Protocol]", Connections().protocol),
            backlog=BACKLOG,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=place.behind_proxy,
            forwarded_allow_ips="*" if place.behind_proxy else None,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            ssl_certfile=place.certificate,
            ssl_keyfile=place.key,
        ),
        ready,
    )
    stopping = asyncio.Event()

    def heard() -> None:
        if stopping.is_set():
            serving.force_exit = True
        stopping.set()
        server.stop_streams()
        serving.should_exit = True

    numbers = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]  # nohup
    for number in numbers:
        loop.add_signal_handler(number, heard)
    try:
        async with server.running():
            if not stopping.is_set():
                await serving.serve(sockets=[listening])
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
    return 0
