"""`headway server` as a child of `headway dev`: on a socket that stays while it starts anew."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Self

from headway.cli.streams import say
from headway.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

_MAIN: Final = "from headway.cli import main; main()"
_HOST: Final = "127.0.0.1"
_BACKLOG: Final = 128
_END_SECONDS: Final = 5.0


class ServerBeside:
    """The server of an app, while a worker is developed. Whoever asks while it starts anew waits for it."""

    def __init__(self, app: str, port: int | None, usual: int) -> None:
        """Take `port`, or `usual` if that is free, else any; ConfigError when the one that is wanted is taken."""
        self._app = app
        self._socket = _bound(port, usual)
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._end()
        self._socket.close()

    def restart(self) -> None:
        """Start it anew, with the source as it is now."""
        self._end()
        self._start()

    def _start(self) -> None:
        number = self._socket.fileno()
        command = (sys.executable, "-c", _MAIN, "server", self._app, "--fd", str(number))
        # Stdout is for what programs read of the worker.
        self._child = subprocess.Popen(command, pass_fds=[number], stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _bound(port: int | None, usual: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, usual if port is None else port), backlog=_BACKLOG)
    except OSError as error:
        if port is not None:
            msg = f"--port {port}: {os.strerror(error.errno or 0)}; give another one, or --no-dashboard"
            raise ConfigError(msg) from error
        say(f"headway: port {usual} is taken: the dashboard is at another one")
        return socket.create_server((_HOST, 0), backlog=_BACKLOG)
