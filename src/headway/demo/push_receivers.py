"""The receivers of the demo: `headway push` in processes of their own, one of which is killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import httpx

from headway.demo.app import APP_PATH
from headway.demo.push_place import HOST
from headway.errors import HeadwayError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path
    from types import TracebackType

_START: Final = 30.0  # seconds until it answers
_STOP: Final = 15.0  # seconds from SIGTERM to SIGKILL
_LOOK: Final = 0.05
_LAST_LINES: Final = 5
_PROGRAM: Final = (
    "import sys; from headway.runtime.deathsignal import die_with_parent; die_with_parent(int(sys.argv.pop(1))); "
    "from headway.cli import main; main()"
)


class Receiver:
    """`headway push` on a port of its own. What it writes goes to the file `log`."""

    def __init__(self, log: Path, port: int, *queues: str, app: str = APP_PATH) -> None:
        """`app` is written as module:name."""
        self._log = log
        self._command = [
            *(sys.executable, "-c", _PROGRAM, str(os.getpid())),
            *("push", app, "--host", HOST, "--port", str(port), "--queues", ",".join(queues)),
        ]
        self._ready_url = f"http://{HOST}:{port}/ready"
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self.stop()

    async def start(self) -> int:
        """Start it, wait until it takes jobs, and return its process id; HeadwayError when it does not."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START
        async with httpx.AsyncClient(trust_env=False) as client:
            while time.monotonic() < deadline and self._process.returncode is None:
                with suppress(httpx.HTTPError):
                    if (await client.get(self._ready_url)).is_success:
                        return self._process.pid
                await asyncio.sleep(_LOOK)
        await self.stop()
        said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        msg = f"a receiver did not start: {' '.join(said)}"
        raise HeadwayError(msg)

    async def kill(self) -> int:
        """End it at once, with jobs in its hands; return the process id that it had."""
        process = self._process
        if process is None:
            msg = "the receiver does not run"
            raise HeadwayError(msg)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        return process.pid

    async def stop(self) -> None:
        """Let it drain and end."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
