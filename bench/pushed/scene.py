"""One scene: an emulator, a guard's store, the latency before both, a receiver; all end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.environments import ROOT
from bench.pushed import LOG_VARIABLE
from tests.servers import EmulatorServer, PostgresServer, RedisServer, RestProxy, free_port
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

HOST: Final = "127.0.0.1"
GUARDS: Final = ("sqlite", "redis", "http", "postgres")
_SECRET: Final = "of-the-benchmark"  # noqa: S105 - of servers that live for one measurement
_CONCURRENCY: Final = 200
_STOP: Final = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class Scene:
    """Where things are. `guard` has the latency, `direct_guard` has none, for checking afterwards."""

    folder: Path
    url: str
    guard: str
    direct_guard: str
    target: str
    receiver: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        """Where handlers write."""
        return self.folder / "handled"

    def started(self) -> list[tuple[str, int]]:
        """Return the jobs that handlers have seen, and when, in nanoseconds since 1970."""
        lines = self.log.read_text(encoding="ascii").splitlines()
        return [(job, int(at)) for job, at in (line.split() for line in lines)]

    def guard_times(self) -> dict[str, list[tuple[str, float]]]:
        """End the receiver, and return how long the calls of its guard took, by kind and job, in seconds."""
        self.receiver.send_signal(signal.SIGTERM)
        self.receiver.wait(_STOP)
        times: dict[str, list[tuple[str, float]]] = json.loads((self.folder / "times").read_bytes())
        return times


@contextmanager
def scene(guard: str, latency: float, faults: str | None) -> Generator[Scene]:
    """Make one. `latency`: seconds, each way, before gRPC and before a store that is reached over a network."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headway-bench-push-")))
        emulator = stack.enter_context(EmulatorServer(faults=faults))
        grpc = free_port()
        pairs = [(grpc, emulator.port)]
        direct, delayed = _store(stack, guard, folder, pairs)
        stack.enter_context(_delay(latency, pairs))
        port = free_port()
        settings = {
            "HEADWAY_URL": f"cloudtasks://bench/local?emulator={HOST}:{grpc}",
            "HEADWAY_GUARD": delayed,
            "HEADWAY_TARGET": f"http://{HOST}:{port}/",
            "HEADWAY_PUSH_SECRET": _SECRET,
            "HEADWAY_PUSH_CONCURRENCY": str(_CONCURRENCY),
        }
        receiver = stack.enter_context(_receiver(folder, port, settings))
        yield Scene(
            folder,
            settings["HEADWAY_URL"],
            delayed,
            direct,
            settings["HEADWAY_TARGET"],
            receiver,
        )


def secret() -> str:
    """Return what requests are signed with."""
    return _SECRET


def _store(stack: ExitStack, guard: str, folder: Path, pairs: list[tuple[int, int]]) -> tuple[str, str]:
    """Start a store; return its URL, and its URL behind the latency."""
    match guard:
        case "sqlite":  # a file: there is no network to be slow
            return (f"sqlite:///{folder / 'guard.db'}",) * 2
        case "redis":
            redis = stack.enter_context(RedisServer(appendonly=True))
            pairs.append((free_port(), redis.port))
            return redis.url, redis.url.replace(f":{redis.port}", f":{pairs[-1][0]}")
        case "http":
            proxy = stack.enter_context(RestProxy(stack.enter_context(RedisServer(appendonly=True))))
            pairs.append((free_port(), proxy.port))
            return proxy.url, proxy.url.replace(f":{proxy.port}", f":{pairs[-1][0]}")
        case "postgres":
            postgres = stack.enter_context(PostgresServer())
            pairs.append((free_port(), postgres.port))
            return postgres.url, postgres.url.replace(f":{postgres.port}", f":{pairs[-1][0]}")
        case _:
            msg = f"no guard store {guard!r}; there are {', '.join(GUARDS)}"
            raise ValueError(msg)


@contextmanager
def _delay(latency: float, pairs: list[tuple[int, int]]) -> Generator[None]:
    arguments = [str(latency), *(f"{listen}:{target}" for listen, target in pairs)]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.pushed.delay", *arguments], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        try:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                msg = "the delay did not start"
                raise RuntimeError(msg)
            yield
        finally:
            process.kill()


@contextmanager
def _receiver(folder: Path, port: int, settings: dict[str, str]) -> Generator[subprocess.Popen[bytes]]:
    config = folder / "headway.toml"
    config.touch()
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    own |= {**settings, "HEADWAY_CONFIG": str(config), LOG_VARIABLE: str(folder / "handled")}
    command = [sys.executable, "-m", "bench.pushed.receiver", str(port), str(folder / "times")]
    with subprocess.Popen(command, cwd=ROOT, env=own) as process:
        try:
            wait_until(lambda: _answers(port, process), "the receiver ready", 30.0)
            yield process
        finally:
            process.kill()


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        msg = "the receiver ended while it started"
        raise RuntimeError(msg)
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (urllib.error.URLError, OSError):
        return False
