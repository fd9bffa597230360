"""A server, its dashboard and a worker as processes, on SQLite files, for one browser."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, ServerProcess, free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

MAIN: Final = "from headway.cli import main; main()"
SOURCE: Final = '''
import asyncio, pathlib
import headway.http
from headway import Headway, Retry

HERE = pathlib.Path(__file__).parent
app = Headway(
    "shop",
    carriers={"main": f"sqlite:///{HERE}/main.db", "west": f"sqlite:///{HERE}/west.db"},
    access=f"sqlite:///{HERE}/access.db",
)


@app.task(name="send_mail", queue="email", tags=["mail"])
async def send_mail(to: str, subject: str = "Your order", urgent: bool = False) -> str:
    """Send a mail to a customer."""
    return f"sent to {to}"


@app.task(name="wait_for", queue="slow")
async def wait_for(file: str) -> str:
    """Run until a file is there."""
    while not (HERE / file).exists():
        await asyncio.sleep(0.02)
    return "done"


@app.task(name="make_report", queue="reports", retry=Retry.never())
async def make_report(customer: int, month: str = "2026-11", options: dict = {}) -> dict:
    """Make the monthly report of a customer."""
    if not (HERE / "mended").exists():
        raise ValueError(f"customer {customer} has no orders in {month}")
    return {"pages": 3}


headway.http.call(app)
app.cron("0 3 * * *", name="nightly", args=(3,))(make_report)
'''


class Site:
    """All of it below one folder."""

    def __init__(self, folder: Path, queues: str = "") -> None:
        """`queues`: those that the worker serves; empty: all."""
        self.folder = folder
        (folder / "shop.py").write_text(SOURCE, encoding="utf-8")
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._environment = {**os.environ, "PYTHONPATH": str(folder), "HEADWAY_APP": "shop:app"}
        served = ("--queues", queues) if queues else ()
        self.server = self.process("server", "server", "shop:app", "--port", str(self.port))
        self.worker = self.process("worker", "worker", "shop:app", "--concurrency", "20", *served)

    def process(self, name: str, *words: str) -> ServerProcess:
        command = (sys.executable, "-c", MAIN, *words)
        return ServerProcess(command, self.folder / f"{name}.log", environment=self._environment)

    def start(self) -> None:
        self.server.start()
        wait_until(self.answers, f"the server: {self.server.last_lines()}", 60)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def run(self, *words: str) -> str:
        """Run a command of Headway to its end and return what it printed."""
        done = subprocess.run(
            (sys.executable, "-c", MAIN, *words),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def python(self, *words: str) -> None:
        """Run a script of the folder to its end."""
        subprocess.run(
            (sys.executable, *words), cwd=self.folder, env=self._environment, check=True, timeout=120
        )

    def close(self) -> None:
        self.worker.stop()
        self.server.stop()
