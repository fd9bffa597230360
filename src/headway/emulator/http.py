"""The HTTP port: an ASGI app served in the emulator's own loop, which leaves the process's signals alone."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

import uvicorn

from headway.http.server import BACKLOG, Connections

if TYPE_CHECKING:
    from headway.emulator.gate import App


class HttpServer:
    """Serves an app on a port of its own."""

    def __init__(self, app: App, host: str, port: int, *, connections: Connections | None = None) -> None:
        """`start` binds; port 0 takes a free one."""
        self._host = host
        self._port = port
        connections = connections or Connections()
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", connections.protocol),
            lifespan="off",
            log_level="warning",
            access_log=False,
            ws="none",
            server_header=False,
            backlog=BACKLOG,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._socket: socket.socket | None = None
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen, and return the port; OSError when it is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self._host, self._port))
            await self._server.startup(sockets=[self._socket])
        except BaseException:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop().create_task(self._server.main_loop())
        return int(self._socket.getsockname()[1])

    async def stop(self) -> None:
        """Answer what is under way, then close."""
        if self._loop is None or self._socket is None:
            return
        self._server.should_exit = True
        await self._loop
        await self._server.shutdown(sockets=[self._socket])
        self._socket.close()
        self._loop = None
