"""Processes that do not outlive their tests, private ports, and waiting with a deadline."""

from __future__ import annotations

import atexit
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

HOST: Final = "127.0.0.1"
# Runs before the server, in its process: asks Linux for SIGKILL when the parent ends (PR_SET_PDEATHSIG is 1), then becomes
# the server. A preexec_fn would do, but Python 3.12 warns of it where threads run.
_DIE_WITH_PARENT: Final = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
)
# Below the range from which Linux takes the ports of outgoing connections: none can take the port of a server that is
# down for a restart.
_PORTS: Final = range(20_000, 32_000)
_given: Final[set[int]] = set()


class ServerError(RuntimeError):
    """A server did not start, did not become ready or did not answer as it must; the message holds its last lines."""


def free_port() -> int:
    """Return a port of the loopback on which nobody listens now; ServerError when none is found.

    No process gets one twice, nor do two workers of pytest-xdist share any: between the look and the server's own bind
    a second look would find it free as well.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = _PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    # Seeded generators (hypothesis, xdist workers) would all draw the same ports.
    for port in random.SystemRandom().sample(mine, 200):
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            _given.add(port)
            return port
    msg = f"no free port between {_PORTS.start} and {_PORTS.stop}"
    raise ServerError(msg)


def wait_until(condition: Callable[[], T | None], what: str, timeout: float = 20.0) -> T:
    """Ask until the answer is true and return it; ServerError names `what` when `timeout` seconds are over."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            msg = f"{what}: not within {timeout:g} s"
            raise ServerError(msg)
        time.sleep(0.01)
    return answer


class ServerProcess:
    """One process whose output goes to a file."""

    def __init__(
        self, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Remember what to start; start nothing. It runs in the folder of its log."""
        self.command = tuple(command)
        self.log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; ServerError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            msg = f"{self.command[0]} is not running"
            raise ServerError(msg)
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What it ended with, minus the signal's number where one ended it; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it; ServerError when it runs already."""
        if self.running:
            msg = f"{self.command[0]} runs already, pid {self.pid}"
            raise ServerError(msg)
        self._process = _spawner().submit(self._spawn).result()
        atexit.register(self.kill)

    def _spawn(self) -> subprocess.Popen[bytes]:
        wrapper = (sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT) if sys.platform == "linux" else ()
        with self.log.open("ab") as output:
            return subprocess.Popen(
                (*wrapper, *self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env=self._environment,
                # A group of its own: Ctrl-C in the terminal is for the tests, which then end it in order.
                process_group=0,
            )

    def stop(self, timeout: float = 10.0) -> None:
        """Ask it to end (SIGTERM) and wait; kill it after `timeout` seconds. Does nothing when it does not run."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGCONT)  # a paused one would not hear the other
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would. Does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        os.kill(self.pid, signal.SIGCONT)

    def last_lines(self, count: int = 20) -> str:
        """Return the end of its output, for messages."""
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return "(no output)"

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(10)
        atexit.unregister(self.kill)
        self._process = None


@cache
def _spawner() -> ThreadPoolExecutor:
    # Linux ends the children when the *thread* that started them ends: one that lives as long as this process starts
    # them all, so that a server may be started from a passing thread (asyncio.to_thread) too.
    return ThreadPoolExecutor(1, thread_name_prefix="servers")
