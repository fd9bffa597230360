"""The real BullMQ and Bull: installed once into a cache folder, driven by `node/driver.js`.

Tests that need them are skipped, with a reason, where Node or the npm registry is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.servers.process import ServerError, ServerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

LIBRARIES: Final = ("bullmq5", "bullmq6", "bull3", "bull4")
CACHE_VARIABLE: Final = "HEADWAY_NODE_CACHE"
_FOLDER: Final = Path(__file__).parent / "node"
_DRIVER: Final = _FOLDER / "driver.js"
_INSTALL_SECONDS: Final = 180


class NodeMissingError(RuntimeError):
    """Node, npm or the registry is not here; the message says which."""


@cache
def installed() -> Path:
    """Return the `node_modules` that holds the libraries, installed now if need be; NodeMissingError says what is missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        msg = "needs node and npm on PATH"
        raise NodeMissingError(msg)
    wanted = {name: (_FOLDER / name).read_bytes() for name in ("package.json", "package-lock.json", ".npmrc")}
    mark = hashlib.sha256(b"".join(wanted.values())).hexdigest()[:16]
    root = Path(os.environ.get(CACHE_VARIABLE) or Path(tempfile.gettempdir()) / f"headway-node-{os.getuid()}")
    folder = root / mark
    with _alone(root / f"{mark}.lock"):
        if not (folder / "whole").exists():  # the mark of an installation that was finished
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name, content in wanted.items():
                (folder / name).write_bytes(content)
            _install(npm, folder)
            (folder / "whole").touch()
    return folder / "node_modules"


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Several test processes may come here at once: one installs, the others wait for it."""
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(npm: str, folder: Path) -> None:
    try:
        done = subprocess.run(
            [npm, "ci", "--prefer-offline"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"npm ci did not end within {_INSTALL_SECONDS} s: is the registry reachable?"
        raise NodeMissingError(msg) from error
    if done.returncode:
        msg = f"npm ci failed: {done.stderr.strip().splitlines()[-1:] or done.returncode}"
        raise NodeMissingError(msg)


def _environment() -> dict[str, str]:
    return {**os.environ, "HEADWAY_NODE_MODULES": str(installed()), "NODE_NO_WARNINGS": "1"}


def _command(*words: str) -> list[str]:
    return [shutil.which("node") or "node", str(_DRIVER), *words]


class NodeLibrary:
    """One library in a process of its own, which does what it is asked, one call after the other."""

    def __init__(self, library: str, url: str, prefix: str, *, timezone: str = "UTC") -> None:
        """Start it on a machine in that time zone. `library` is one of LIBRARIES, `prefix` that of its keys."""
        self.library, self.url, self.prefix = library, url, prefix
        self._process = subprocess.Popen(
            _command("serve", library, url, prefix),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**_environment(), "TZ": timezone},
        )

    def __enter__(self) -> Self:
        """Begin: it runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process; it goes by itself when nobody speaks any more."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, op: str, **arguments: Any) -> Any:
        """Do one operation of driver.js and return its answer; ServerError holds what the library raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"{self.library} ended"}
        if "error" in answer:
            msg = f"{self.library} {op}: {answer['error']}"
            raise ServerError(msg)
        return answer["ok"]

    def add(self, queue: str, name: str | None, data: Any, **opts: Any) -> str:
        """Add one job and return its id."""
        return str(self.call("add", queue=queue, name=name, data=data, opts=opts))

    def add_many(self, queue: str, jobs: list[dict[str, Any]]) -> list[str]:
        """Add jobs, each `{"name", "data", "opts"}`, and return their ids."""
        return [str(found) for found in self.call("addBulk", queue=queue, jobs=jobs)]

    def work(self, queue: str, n: int, ledger: Path | None = None) -> None:
        """Run jobs of a queue until `n` attempts have ended."""
        self.call("work", queue=queue, n=n, ledger=None if ledger is None else str(ledger))


def worker(
    library: str,
    url: str,
    prefix: str,
    queue: str,
    ledger: Path,
    *,
    concurrency: int = 1,
    lock_ms: int = 30_000,
) -> ServerProcess:
    """Return a process, not started, that runs the jobs of a queue and writes each start into the ledger."""
    command = _command("work", library, url, prefix, queue, str(ledger), str(concurrency), str(lock_ms))
    return ServerProcess(command, ledger.with_suffix(".worker.log"), environment=_environment())


def producer(
    library: str, url: str, prefix: str, queue: str, ledger: Path, per_second: float, *, ms: int = 0
) -> ServerProcess:
    """Return a process, not started, that adds jobs to a queue and writes each into the ledger when it was accepted.

    Each takes a worker `ms` milliseconds.
    """
    command = _command("produce", library, url, prefix, queue, str(ledger), str(per_second), str(ms))
    return ServerProcess(command, ledger.with_suffix(".producer.log"), environment=_environment())


def ledger_lines(ledger: Path) -> list[dict[str, Any]]:
    """Return what was written into a ledger; half a line of a killed process is passed over."""
    if not ledger.exists():
        return []
    lines = ledger.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def wait_for_lines(ledger: Path, n: int, timeout: float = 20.0) -> list[dict[str, Any]]:
    """Wait until a ledger has at least `n` lines and return them."""
    wait_until(lambda: len(ledger_lines(ledger)) >= n, f"{n} lines in {ledger.name}", timeout)
    return ledger_lines(ledger)
