"""`headway emulator` as a process: Cloud Tasks and Cloud Scheduler."""

from __future__ import annotations

import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, ServerError, ServerProcess, free_port, wait_until

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_MAIN: Final = "from headway.cli import main; main()"


class EmulatorServer:
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

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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

    @property
    def pid(self) -> int:
        """Its process id; ServerError when it does not run."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process.running

    def start(self, *, faults: str | None = None) -> None:
        """Start it and wait until it answers; with `faults`, from now on with those. ServerError shows its last lines."""
        if faults is not None and not self.running:
            self._process = self._with_faults(faults)
        self._process.start()
        try:
            wait_until(self._ready, f"{self!r} ready")
        except ServerError as error:
            self._process.kill()
            msg = f"{error}; the end of its log:\n{self._process.last_lines()}"
            raise ServerError(msg) from error

    def stop(self) -> None:
        """End it in order (SIGTERM), keeping its state."""
        self._process.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), keeping its state."""
        self._process.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same state and ports."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._process.resume()

    def close(self) -> None:
        """End it and remove its state."""
        self.kill()
        self._folder.cleanup()

    def last_lines(self, count: int = 20) -> str:
        """Return the end of its output, for messages."""
        return self._process.last_lines(count)

    def _with_faults(self, faults: str | None) -> ServerProcess:
        command = [*self._command, *(["--faults", faults] if faults else [])]
        return ServerProcess(command, self.folder / "emulator.log")

    def _ready(self) -> bool:
        if not self._process.running:
            msg = f"{self!r} ended while it started"
            raise ServerError(msg)
        # The HTTP port is opened last. No proxy of the environment may stand between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.certs_url, timeout=5) as answer:
                return int(answer.status) == 200
        except OSError:
            return False
