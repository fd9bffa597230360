"""`headway push` as a process: the receiver of pushed jobs."""

from __future__ import annotations

import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, ServerError, ServerProcess, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_MAIN: Final = "from headway.cli import main; main()"


class ReceiverServer:
    """A receiver of an app on a private port, which stays the same over kill and restart."""

    def __init__(
        self,
        app: str,
        folder: Path,
        environment: Mapping[str, str],
        *args: str,
        name: str = "receiver",
        port: int | None = None,
    ) -> None:
        """Start nothing yet. `folder` holds the app's module and the log; HEADWAY_ variables are only the given ones."""
        self.port = port or free_port()
        own = {key: value for key, value in os.environ.items() if not key.startswith(("HEADWAY_", "PORT"))}
        command: Sequence[str] = [
            sys.executable, "-c", _MAIN, "push", app, "--host", HOST, "--port", str(self.port), *args,
        ]  # fmt: skip
        self._process = ServerProcess(command, folder / f"{name}.log", environment={**own, **environment})

    def __repr__(self) -> str:
        return f"<ReceiverServer {self.url} {'running' if self.running else 'stopped'}>"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Where it takes jobs."""
        return f"http://{HOST}:{self.port}/"

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process.running

    @property
    def pid(self) -> int:
        """Its process id; ServerError when it does not run."""
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it takes jobs. ServerError shows its last lines."""
        self._process.start()
        try:
            wait_until(self._ready, f"{self!r} ready")
        except ServerError as error:
            self._process.kill()
            msg = f"{error}; the end of its log:\n{self._process.last_lines()}"
            raise ServerError(msg) from error

    def stop(self, timeout: float = 15.0) -> None:
        """End it in order (SIGTERM)."""
        self._process.stop(timeout)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._process.resume()

    def last_lines(self, count: int = 20) -> str:
        """Return the end of its output, for messages."""
        return self._process.last_lines(count)

    def _ready(self) -> bool:
        if not self._process.running:
            msg = f"{self!r} ended while it started"
            raise ServerError(msg)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}ready", timeout=5) as answer:
                return int(answer.status) == 200
        except OSError:
            return False
