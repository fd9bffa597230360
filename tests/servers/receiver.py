"""`headway push` as a process: the receiver of pushed jobs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, ServerProcess, free_port
from tests.servers.server import Server, answers_200

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MAIN: Final = "from headway.cli import main; main()"


class ReceiverServer(Server):
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

    @property
    def url(self) -> str:
        """Where it takes jobs."""
        return f"http://{HOST}:{self.port}/"

    @property
    def exit_code(self) -> int | None:
        """What it ended with, minus the signal's number where one ended it; None while it runs."""
        return self._process.exit_code

    def stop(self, timeout: float = 15.0) -> None:
        """End it in order (SIGTERM)."""
        self._process.stop(timeout)

    def _answers(self) -> bool:
        return answers_200(f"{self.url}ready")
