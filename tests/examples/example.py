"""An example as its reader has it: a folder, the commands of its README, a browser that asks."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.docs.samples import ROOT
from tests.servers.process import HOST, ServerProcess, free_port, wait_until
from tests.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS: Final = Path(sysconfig.get_path("scripts"))


class Example:
    """A copy of one folder of `examples/`, so that files which it makes are gone with the test."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / name
        shutil.copytree(
            ROOT / "examples" / name, self.folder, ignore=shutil.ignore_patterns("__pycache__", "*.db*")
        )
        self.readme = (self.folder / "README.md").read_text(encoding="utf-8")

    def command(self, start: str) -> list[str]:
        """Return the one command of the README that begins so, with the program of this environment."""
        blocks = re.findall(r"^```sh\n(.*?)^```$", self.readme, re.MULTILINE | re.DOTALL)
        (line,) = [line for block in blocks for line in block.splitlines() if line.startswith(start)]
        program, *arguments = shlex.split(line)
        return [str(SCRIPTS / program), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "PYTEST_"))
        }
        return {**own, "PYTHONDONTWRITEBYTECODE": "1"}

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run the worker as the README says, from its ready line to its orderly end."""
        log = self.folder / "worker.log"
        process = ServerProcess(
            [*self.command("headway worker"), "--processes", "1"], log, environment=self.environment
        )
        process.start()
        try:
            wait_until(
                lambda: not process.running or "worker ready" in process.last_lines(), "the worker is ready"
            )
            assert process.running, process.last_lines()
            yield
        finally:
            process.stop(20.0)
        said = log.read_text(encoding="utf-8")
        assert "Traceback" not in said, said


class WebServer(Server):
    """The web server of an example, by the command of its README, on a private port."""

    def __init__(self, example: Example, start: str, *more: str, bind: bool = False) -> None:
        self.port = free_port()
        place = ["--bind", f"{HOST}:{self.port}"] if bind else ["--host", HOST, "--port", str(self.port)]
        self._process = ServerProcess(
            [*example.command(start), *more, *place],
            example.folder / "web.log",
            environment=example.environment,
        )

    def ask(self, method: str, path: str) -> tuple[int, str]:
        """Send a request and return the status and the body of its answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ask_json(self, method: str, path: str, *, status: int = 200) -> Any:
        """Send a request, expect the status, and return what its answer holds."""
        answered, body = self.ask(method, path)
        assert answered == status, (body, self.last_lines())
        return json.loads(body)

    def close(self) -> None:
        """End it in order: processes that it forked end with it."""
        self.stop()
        super().close()

    def _answers(self) -> bool:
        try:
            self.ask("GET", "/")
        except OSError:
            return False
        return True
