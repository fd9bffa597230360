"""Worker and producer processes: started in groups of their own, ended by id, never left behind."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final, Self

from bench.inside.configuration import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_STOP_SECONDS: Final = 3.0
_READ: Final = 65536


class ProcessError(Exception):
    """A process ended or fell silent; the message holds the end of its output."""


class UnsupportedLoadError(Exception):
    """The peer does not offer what was asked; the message says why."""


class Process:
    """One process whose errors go to a log file."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self.log = log
        self.born = time.monotonic()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**_inherited(), **environment},
                start_new_session=True,
            )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """The process id, which is also that of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and end its group when it does not."""
        if self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the group at once."""
        atexit.unregister(self.kill)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def last_lines(self, count: int = 15) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])


class WorkerProcess(Process):
    """A worker: says nothing on its output that matters."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        # Its output joins the log: a full pipe would block it.
        with log.open("ab"):
            pass
        super().__init__(("/bin/sh", "-c", 'exec "$0" "$@" >&2', *command), environment, folder, log)


class ProducerProcess(Process):
    """A producer: takes loads and answers, one JSON object a line."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        super().__init__(command, environment, folder, log)
        self._buffer = b""

    def wait_ready(self, seconds: float = 30.0) -> Self:
        """Wait until it is connected; ProcessError when it is not."""
        self._answer(seconds)
        return self

    def load(self, name: str, *, patience: float = 120.0, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Ask for a load and return the answer.

        Raises UnsupportedLoadError when the peer does not offer it, ProcessError when it fails or takes too long.
        """
        self.begin(name, **values)
        return self.end(name, patience)

    def begin(self, name: str, **values: Any) -> None:  # noqa: ANN401 - JSON
        """Ask for a load without waiting for its end."""
        pipe = self._process.stdin
        if pipe is None:
            msg = "the producer has no input"
            raise ProcessError(msg)
        pipe.write(json.dumps({"load": name, **values}).encode() + b"\n")
        pipe.flush()

    def end(self, name: str, patience: float = 120.0) -> dict[str, Any]:
        """Return the answer to a load that was begun."""
        answer = self._answer(patience)
        match answer["event"]:
            case "done":
                return answer
            case "unsupported":
                raise UnsupportedLoadError(answer["reason"])
            case _:
                msg = f"{name}: {answer.get('reason', answer)}"
                raise ProcessError(msg)

    def _answer(self, seconds: float) -> dict[str, Any]:
        pipe = self._process.stdout
        if pipe is None:
            msg = "the producer has no output"
            raise ProcessError(msg)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                msg = f"the producer said nothing for {seconds:g} s:\n{self.last_lines()}"
                raise ProcessError(msg)
            data = os.read(pipe.fileno(), _READ)
            if not data:
                msg = f"the producer ended:\n{self.last_lines()}"
                raise ProcessError(msg)
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def stop_all(processes: Iterable[Process]) -> None:
    """Ask all to end, then wait for each."""
    group = list(processes)
    for process in group:
        if process.running:
            os.kill(process.pid, signal.SIGTERM)
    for process in group:
        process.stop()


def _inherited() -> dict[str, str]:
    """The environment without what would change a peer's settings behind our back."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != VARIABLE and not name.startswith(("HEADWAY_", "PYTHON", "CELERY", "RQ_"))
    }
