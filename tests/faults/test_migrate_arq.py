"""arq's jobs brought along while its worker and its producer go on, and the migrator is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.servers import EmulatorServer, ReceiverServer
from tests.servers.arq_env import arq_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import RedisServer

_SIDE: Final = Path(__file__).with_name("arq_side.py")
_MAP: Final = '[[job]]\nname = "work"\ntask = "work"\n'
_KILLS: Final = int(os.environ.get("HEADWAY_MIGRATE_KILLS", "4"))
_TARGETS: Final = ("sqlite", "redis", *(("cloudtasks",) if "HEADWAY_MIGRATE_ALL" in os.environ else ()))
_SEED: Final = int(os.environ.get("HEADWAY_MIGRATE_SEED", str(random.randrange(10**6))))


class Scene:
    """The ledger that both sides append to, and the processes around it."""

    def __init__(self, folder: Path, source: str, target: str, python: Path) -> None:
        self.ledger = folder / "ledger.txt"
        self.told = folder / "told.txt"
        self._map = folder / "map.toml"
        self._map.write_text(_MAP, encoding="utf-8")
        self._source = source
        self._python = python
        self._env = {**os.environ, "MIGRATED_URL": target, "MIGRATED_LEDGER": str(self.ledger)}

    @contextmanager
    def old(self, role: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run arq's side."""
        with self.told.open("ab") as out:
            process = subprocess.Popen(
                [str(self._python), str(_SIDE), role, self._source, str(self.ledger)],
                stdout=out,
                stderr=subprocess.DEVNULL,
            )
            yield from _until_done(process)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run our worker, two jobs at a time."""
        yield from _until_done(self._headway("worker", "tests.faults.migrated_app:app", "--concurrency", "2"))

    @contextmanager
    def pushed(self) -> Iterator[None]:
        """Run our side as a receiver, to which an emulator of Cloud Tasks pushes."""
        folder = self.ledger.parent
        with EmulatorServer() as emulator:
            self._env |= {
                "MIGRATED_URL": f"cloudtasks://local/here?emulator={emulator.address}",
                "HEADWAY_GUARD": f"sqlite:///{folder / 'guard.db'}",
                "HEADWAY_PUSH_SECRET": "only-here",
                "PYTHONPATH": str(Path.cwd()),
            }
            app = "tests.faults.migrated_app:app"
            receiver = ReceiverServer(app, folder, self._env)
            self._env["HEADWAY_TARGET"] = receiver.url
            with ReceiverServer(app, folder, self._env, port=receiver.port):
                yield

    def migrate(self, act: str, *words: str) -> subprocess.Popen[bytes]:
        """Begin `headway migrate`."""
        return self._headway(
            *("migrate", act, "--from", "arq", "--source", self._source, "--allow-pickle"),
            *("--map", str(self._map), "--app", "tests.faults.migrated_app:app", *words),
        )

    def migrated(self, act: str, *words: str) -> tuple[int, bytes]:
        """Run `headway migrate` to its end."""
        process = self.migrate(act, *words)
        out, errors = process.communicate(timeout=60 + 5 * _KILLS)
        return process.returncode, out + errors

    def tags_told(self) -> list[str]:
        """Return what the old producer was told is accepted."""
        if not self.told.exists():
            return []
        lines = self.told.read_text(encoding="utf-8").splitlines(keepends=True)
        return [line.split()[1] for line in lines if line.startswith("told ") and line.endswith("\n")]

    def ran(self) -> Counter[str]:
        """Return how often each tag ran, on either side."""
        return Counter(line.split()[1] for line in self._lines())

    def sides(self) -> Counter[str]:
        """Return how many jobs ran on each side."""
        return Counter(line.split()[0] for line in self._lines())

    def _lines(self) -> list[str]:
        return self.ledger.read_text(encoding="utf-8").splitlines() if self.ledger.exists() else []

    def _headway(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", "from headway.cli import main; main()", *words],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _until_done(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait(condition: object, seconds: float = 45.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def _begins(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    line = process.stderr.readline()
    assert b"forwarding" in line, line + process.stderr.read()


@pytest.mark.slow
@pytest.mark.timeout(120 + 12 * _KILLS)
@pytest.mark.parametrize("target", _TARGETS)
def test_a_migrator_that_is_killed_neither_loses_nor_doubles_a_job(
    target: str, own_redis_server: RedisServer, tmp_path: Path
) -> None:
    source = own_redis_server.url
    url = f"sqlite:///{tmp_path / 'jobs.db'}" if target == "sqlite" else source.removesuffix("0") + "1"
    scene = Scene(tmp_path, source, url, arq_python())
    runs = scene.pushed if target == "cloudtasks" else scene.worker
    chance = random.Random(_SEED)
    sys.stdout.write(f"HEADWAY_MIGRATE_SEED={_SEED}\n")
    with ExitStack() as stack:
        stack.enter_context(runs())
        stack.enter_context(scene.old("worker"))
        with scene.old("produce"):
            _wait(lambda: len(scene.tags_told()) > 50)
            other = scene.migrate("forward")  # a second one all the while: two do not fight
            for _ in range(_KILLS):
                process = scene.migrate("forward")
                _begins(process)
                time.sleep(chance.uniform(0, 0.7))
                process.send_signal(signal.SIGKILL)
                process.communicate()
                if chance.random() < 0.5:
                    other.send_signal(signal.SIGKILL)
                    other.communicate()
                    other = scene.migrate("forward")
            other.send_signal(signal.SIGKILL)
            other.communicate()
        code, said = scene.migrated("apply", "--yes", "--json")
        assert code == 0, said
        told = scene.tags_told()
        _wait(lambda: scene.ran().keys() >= set(told))
        code, said = scene.migrated("verify", "--json")
        assert code == 0, said
    ran = scene.ran()
    assert {tag: ran[tag] for tag in told if ran[tag] != 1} == {}
    assert min(scene.sides()["arq"], scene.sides()["headway"]) > 20, scene.sides()


@pytest.mark.timeout(90)
def test_what_goes_back_is_run_there_once(own_redis_server: RedisServer, tmp_path: Path) -> None:
    source = own_redis_server.url
    scene = Scene(tmp_path, source, source.removesuffix("0") + "1", arq_python())
    with scene.old("produce"):
        _wait(lambda: len(scene.tags_told()) > 300)
    told = scene.tags_told()
    assert scene.migrated("apply", "--yes")[0] == 0
    with scene.worker():
        _wait(lambda: scene.sides()["headway"] > 10)
    code, said = scene.migrated("revert", "--yes", "--json")
    assert code == 0, said
    code, said = scene.migrated("verify", "--json")
    assert code == 0, said
    with scene.old("worker"), scene.worker():
        _wait(lambda: scene.ran().keys() >= set(told))
    ran = scene.ran()
    assert {tag: ran[tag] for tag in told if ran[tag] != 1} == {}
    assert scene.sides()["arq"] > len(told) // 5
