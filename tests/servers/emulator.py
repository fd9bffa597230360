"""`headway emulator` as a process: Cloud Tasks and Cloud Scheduler."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.servers.process import HOST, ServerProcess, free_port
from tests.servers.server import Server, answers_200

_MAIN: Final = "from headway.cli import main; main()"


class EmulatorServer(Server):
    """An emulator of its own on private ports. Its ports, its state and its key stay the same over kill and restart."""

    def __init__(
        self, *, faults: str | None = None, secret: str | None = None, issuer: str | None = None
    ) -> None:
        """Start nothing yet. `faults` as the command takes them, such as `duplicates=0.2,seed=7`."""
        self.port = free_port()
        self.http_port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="headway-emulator-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.state = self.folder / "state.db"
        self._command = [
            sys.executable, "-c", _MAIN, "emulator",
            "--port", str(self.port), "--http-port", str(self.http_port), "--state", str(self.state),
        ]  # fmt: skip
        for option, value in (("--secret", secret), ("--issuer", issuer)):
            self._command += [option, value] if value else []
        self._process = self._with_faults(faults)

    def __repr__(self) -> str:
        return f"<EmulatorServer {self.address} {'running' if self.running else 'stopped'}>"

    @property
    def address(self) -> str:
        """Where gRPC is, as CLOUD_TASKS_EMULATOR_HOST has it."""
        return f"{HOST}:{self.port}"

    @property
    def http_url(self) -> str:
        """Where REST is."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def certs_url(self) -> str:
        """Where the keys are that verify the tokens."""
        return f"{self.http_url}/oauth2/v3/certs"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which clients find it."""
        return {
            "CLOUD_TASKS_EMULATOR_HOST": self.address,
            "CLOUD_SCHEDULER_EMULATOR_HOST": self.address,
        }

    def start(self, *, faults: str | None = None) -> None:
        """Start it and wait until it answers; with `faults`, from now on with those. ServerError shows its last lines."""
        if faults is not None and not self.running:
            self._process = self._with_faults(faults)
        super().start()

    def _with_faults(self, faults: str | None) -> ServerProcess:
        command = [*self._command, *(["--faults", faults] if faults else [])]
        return ServerProcess(command, self.folder / "emulator.log")

    def _answers(self) -> bool:
        return answers_200(self.certs_url)  # the HTTP port is opened last
