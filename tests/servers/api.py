"""`headway server` as a process: the REST API of an app."""

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


class ApiServer(Server):
    """A server of an app on a private port, which stays the same over kill and restart."""

    def __init__(
        self,
        app: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *args: str,
        name: str = "server",
        port: int | None = None,
    ) -> None:
        """Start nothing yet. `folder` holds the app's module and the log; HEADWAY_ variables are only the given ones."""
        self.port = port or free_port()
        own = {key: value for key, value in os.environ.items() if not key.startswith(("HEADWAY_", "PORT"))}
        own["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), own.get("PYTHONPATH"))))
        command: Sequence[str] = [
            sys.executable, "-c", _MAIN, "server", app, "--host", HOST, "--port", str(self.port), *args,
        ]  # fmt: skip
        self.log = folder / f"{name}.log"
        self._process = ServerProcess(command, self.log, environment={**own, **(environment or {})})

    def __repr__(self) -> str:
        return f"<ApiServer {self.url} {'running' if self.running else 'stopped'}>"

    @property
    def url(self) -> str:
        """Where it is called, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def stop(self, timeout: float = 15.0) -> None:
        """End it in order (SIGTERM)."""
        self._process.stop(timeout)

    def _answers(self) -> bool:
        return answers_200(f"{self.url}/healthz")
