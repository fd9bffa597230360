"""One measurement's surroundings: a fresh server or file, a folder, a producer and workers; all gone at its end."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bench.environments import ROOT
from bench.inside.configuration import Configuration
from bench.processes import ProcessError, ProducerProcess, WorkerProcess, stop_all
from bench.procstat import tree_usage
from bench.tally import check_exactly_once, read_tallies, wait_ran
from tests.servers import RedisServer

if TYPE_CHECKING:
    from types import TracebackType

    from bench.environments import Environment
    from bench.peer import Peer
    from bench.procstat import Usage
    from bench.tally import Tally


_SNAPSHOT_COMMANDS: Final = 2
_LOOK: Final = 0.05


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters of a server and its workers at a moment."""

    at: float
    commands: int
    server_cpu: float
    worker_cpu: float

    def since(self, before: Snapshot) -> Load:
        """Return what happened in between; taking a snapshot costs the server two commands."""
        seconds = self.at - before.at
        return Load(
            max(0.0, self.commands - before.commands - _SNAPSHOT_COMMANDS) / seconds,
            (self.server_cpu - before.server_cpu) / seconds,
            (self.worker_cpu - before.worker_cpu) / seconds,
        )


@dataclass(frozen=True, slots=True)
class Load:
    """Per second."""

    commands: float
    server_cpu: float
    worker_cpu: float


class Scene:
    """A context manager. Values of `settings` are those of Configuration."""

    def __init__(self, peer: Peer, environment: Environment, capacity: int, **settings: Any) -> None:  # noqa: ANN401
        self.peer = peer
        self._environment = environment
        self._capacity = capacity
        self._settings = settings
        self._stack = ExitStack()
        self._workers: list[WorkerProcess] = []
        self.server: RedisServer | None = None
        self.spawned = 0.0  # monotonic, when the first worker was started

    def __enter__(self) -> Self:
        """Make the folder and start the server."""
        self.folder = Path(tempfile.mkdtemp(prefix="headway-bench-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            if self.peer.carrier == "redis":
                self.server = self._stack.enter_context(
                    RedisServer(appendonly=True, options={"appendfsync": "everysec"})
                )
                url = self.server.url
            else:
                url = str(self.folder / "queue.db")
            self.settings = replace(
                Configuration(
                    url=url,
                    folder=str(self.folder),
                    capacity=self._capacity,
                    concurrency=self.peer.concurrency,
                ),
                **self._settings,
            )
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process and remove the folder."""
        self._stack.close()

    # --- processes ----------------------------------------------------------------------------------------------

    def producer(self) -> ProducerProcess:
        """Start the producer and wait until it is connected."""
        process = ProducerProcess(
            (self._environment.interpreter, *self.peer.producer),
            self._variables(),
            self._environment.folder,
            self.folder / "producer.log",
        )
        self._stack.callback(process.stop)
        return process.wait_ready()

    def start_workers(self) -> None:
        """Start the worker processes."""
        for command in self.peer.workers(self.settings):
            worker = WorkerProcess(
                (self._environment.interpreter, *command),
                self._variables(),
                self._environment.folder,
                self.folder / "worker.log",
            )
            if not self._workers:
                self.spawned = worker.born
            self._workers.append(worker)
            self._stack.callback(worker.kill)

    def stop_workers(self) -> None:
        """Ask them to end and wait for it."""
        stop_all(self._workers)

    def usage(self) -> Usage:
        """Return what the workers and their children use."""
        return tree_usage([worker.pid for worker in self._workers])

    # --- jobs ---------------------------------------------------------------------------------------------------

    def wait_for(self, jobs: range, seconds: float, enough: int | None = None) -> None:
        """Wait until the jobs have run; DeadlineError after `seconds`, ProcessError when a worker has ended."""
        wait_ran(
            self.folder,
            self.settings.capacity,
            jobs,
            seconds=seconds,
            alive=self._check_alive,
            enough=enough,
        )

    def tallies(self) -> list[Tally]:
        """Read what ran."""
        return read_tallies(self.folder, self.settings.capacity)

    def finish(self, jobs: range) -> list[Tally]:
        """Stop the workers and check that each of the jobs ran exactly once; CheckFailedError when not."""
        self.stop_workers()
        tallies = self.tallies()
        check_exactly_once(tallies, jobs)
        return tallies

    def end_early(self, jobs: range) -> list[Tally]:
        """Stop the workers before all has run, and check that nothing ran twice."""
        self.stop_workers()
        tallies = self.tallies()
        check_exactly_once(tallies, jobs, whole=False)
        return tallies

    # --- the server ---------------------------------------------------------------------------------------------

    def server_cpu(self) -> float:
        """Seconds of CPU that the server has used; 0 without a server."""
        if self.server is None:
            return 0.0
        info = self.server.info("cpu")
        return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])

    def server_memory(self) -> int:
        """Bytes that the server holds, its append-only buffers left out; 0 without a server."""
        if self.server is None:
            return 0
        info = self.server.info("memory")
        return int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0))

    def wait_quiet(self, seconds: float = 60.0) -> None:
        """Wait until the server has rewritten its append-only file: else a drain would be measured beside that."""
        deadline = time.monotonic() + seconds
        while self.server is not None and time.monotonic() < deadline:
            info = self.server.info("persistence")
            if info["aof_rewrite_in_progress"] == "0" and info["aof_rewrite_scheduled"] == "0":
                return
            time.sleep(_LOOK)

    def snapshot(self) -> Snapshot:
        """Return the counters now."""
        commands = 0 if self.server is None else int(self.server.info("stats")["total_commands_processed"])
        return Snapshot(time.monotonic(), commands, self.server_cpu(), self.usage().cpu)

    def connections(self) -> int:
        """How many connections there are beside the one that asks; 0 without a server."""
        return 0 if self.server is None else int(self.server.info("clients")["connected_clients"]) - 1

    def _variables(self) -> dict[str, str]:
        root = self.peer.tree or ROOT
        paths = [str(root), str(root / "src")] if self.peer.folder == "headway" else [str(root)]
        return {**self.settings.environment(), "PYTHONPATH": ":".join(paths), "NODE_ENV": "production"}

    def _check_alive(self) -> None:
        for worker in self._workers:
            if not worker.running:
                msg = f"a worker of {self.peer.name} ended:\n{worker.last_lines()}"
                raise ProcessError(msg)
