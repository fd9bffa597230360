"""A receiver behind a server of its own: what `headway push` runs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, cast

import uvicorn

from headway.http.server import BACKLOG, Connections, Serving, name_lack_of_descriptors
from headway.runtime.mainloop import run_main
from headway.runtime.resources import THREAD_NAME

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from headway.push.receiver import Receiver

_log = logging.getLogger("headway.push")
# Google's front ends keep connections for ten minutes. Who closes first must not be us: a request may be on its way.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_KEEP_ALIVE: Final = 620


def run(receiver: Receiver, listening: socket.socket, ready: Callable[[], None]) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP, then drain; the second signal hands back at once. `ready` is called once.

    Return the exit code.
    """
    run_main(_Serving(receiver, listening, ready).serve())
    if any(thread.name.startswith(("headway-job", THREAD_NAME)) for thread in threading.enumerate()):
        # A handler's thread that goes on must not keep the process: its job was handed back. Nor a resource's.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


class _Serving:
    """Opens the receiver, serves it, and stops it at a signal, whichever of these it is at."""

    def __init__(self, receiver: Receiver, listening: socket.socket, ready: Callable[[], None]) -> None:
        self._receiver = receiver
        self._listening = listening
        self._server = Serving(
            uvicorn.Config(
                receiver,
                http=cast("type[asyncio.Protocol]", Connections().protocol),
                backlog=BACKLOG,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE,
            ),
            ready,
        )
        self._opening: asyncio.Task[None] | None = None
        self._stopping: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        name_lack_of_descriptors(loop)
        # Before it opens, which takes seconds where the guard is away: process 1 of a container hears no signal for
        # which it has no handler, and would take jobs as if none had come.
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup
        for number in heard:
            loop.add_signal_handler(number, self._heard)
        try:
            self._opening = asyncio.create_task(self._receiver.open())
            await asyncio.wait([self._opening])
            if self._opening.cancelled():
                return
            self._opening.result()
            if not self._stopping:
                await self._server.serve(sockets=[self._listening])
        finally:
            for number in heard:
                loop.remove_signal_handler(number)
            await self._receiver.close()

    def _heard(self) -> None:
        if self._opening is not None and not self._opening.done():
            _log.info("stopped before it was open")
            self._opening.cancel()
            return
        _log.info(
            "handing back at once" if self._stopping else "draining; the same signal again hands back at once"
        )
        self._stopping.append(asyncio.create_task(self._stop(0.0 if self._stopping else None)))

    async def _stop(self, grace: float | None) -> None:
        await self._receiver.drain(grace)
        self._server.should_exit = True
