"""A real worker group: `headway worker` as a subprocess, its supervisor and workers at hand by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.processes import alive, born, children, send, stopped
from tests.faults.until import until

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
# Asks Linux for SIGKILL when the tests end (PR_SET_PDEATHSIG is 1), then becomes `headway`.
HEADWAY: Final = (
    "import ctypes, sys; ctypes.CDLL(None).prctl(1, 9); "
    "from headway.cli import main; sys.argv[0] = 'headway'; main()"
)


class Group:
    """One supervisor with its workers."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], *options: str, app: str = "tests.faults.app:app"
    ) -> None:
        """Remember how to start it; `options` are those of `headway worker`."""
        self._app = app
        self._output = folder / "worker.out"
        self._errors = folder / "worker.err"
        self._environ = dict(environ)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.leaving = False  # it was told to end, or was ended
        self.touched = False  # a fault befell it, or one of its workers
        self._seen: dict[int, str] = {}  # every process of the group that was ever looked at, and its birth

    async def start(self, within: float = 40.0) -> None:
        """Start it and wait until every worker claims."""
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it is started in a moment
                [sys.executable, "-c", HEADWAY, "worker", self._app, "--json", *self._options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, **self._environ},
                process_group=0,  # Ctrl-C in the terminal is for the tests, which then end it in order
            )
        await until(
            lambda: self._announced("ready") or self.ended, f"worker group ready; {self._errors}", within
        )
        if self.ended:
            msg = f"the worker group ended at its start:\n{self.log()}"
            raise AssertionError(msg)
        self._look()

    # --- who is there -------------------------------------------------------------------------------------------

    @property
    def supervisor(self) -> int:
        """The supervisor's pid."""
        if self._process is None:
            msg = "the group was not started"
            raise AssertionError(msg)
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The pids of the worker processes that live now."""
        return self._look()

    @property
    def ended(self) -> bool:
        """Whether the supervisor has ended."""
        return self._process is not None and self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """The supervisor's exit code; None while it runs."""
        return None if self._process is None else self._process.poll()

    def job_processes(self) -> list[int]:
        """Return the pids of the processes of jobs with run_in="process"."""
        return [pid for worker in self.workers for pid in children(worker)]

    def log(self) -> str:
        """Return the end of what the group wrote to stderr."""
        try:
            return "\n".join(self._errors.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])
        except FileNotFoundError:
            return "(no output)"

    # --- faults -------------------------------------------------------------------------------------------------

    def kill_all(self) -> None:
        """End supervisor and workers at once, as the loss of the host would: none can act on another's death."""
        self.leaving = True
        workers = self.workers
        send(self.supervisor, signal.SIGSTOP)
        for pid in workers:
            send(pid, signal.SIGSTOP)
        for pid in (*workers, self.supervisor):
            send(pid, signal.SIGKILL)

    def stop_all(self) -> None:
        """Freeze supervisor and workers."""
        for pid in (self.supervisor, *self.workers):
            send(pid, signal.SIGSTOP)

    def continue_all(self) -> None:
        """Let the frozen ones go on."""
        for pid in (*self.workers, self.supervisor):
            send(pid, signal.SIGCONT)

    def kill_supervisor(self) -> None:
        """End the supervisor alone; its workers are to notice."""
        self.leaving = True
        self._look()
        send(self.supervisor, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask the supervisor to drain."""
        self.leaving = True
        send(self.supervisor, signal.SIGTERM)

    async def wait_ended(self, within: float = 30.0) -> None:
        """Wait for the end of the supervisor and of all workers that were ever seen."""
        await until(lambda: self.ended, "the supervisor ends", within)
        await until(lambda: not self._left(), "its workers end", within)

    async def close(self) -> None:
        """End whatever is left of it."""
        if self._process is None:
            return
        if not self.ended:
            self._look()
        for pid in (self.supervisor, *self._left()):
            if pid != self.supervisor or not self.ended:
                send(pid, signal.SIGKILL)
        self._process.wait(10)
        await until(lambda: not self._left(), "no process of the group is left", 10.0)

    def _look(self) -> list[int]:
        found = children(self.supervisor)
        for pid in found:
            self._seen.setdefault(pid, born(pid))
        return found

    def _left(self) -> list[int]:
        return [
            pid for pid, birth in self._seen.items() if (alive(pid) or stopped(pid)) and born(pid) == birth
        ]

    def _announced(self, event: str) -> bool:
        try:
            text = self._output.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return False
        lines = [line for line in text.split("\n")[:-1] if line.startswith("{")]
        return any(json.loads(line).get("event") == event for line in lines)
