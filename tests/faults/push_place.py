"""Where a push run takes place: a guard's store, an emulator with faults, receivers behind a balancer."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.brokers.cloudtasks.api.names import task_id
from tests.faults.effects import EFFECTS
from tests.faults.jobs import NAMESPACE
from tests.faults.push_balancer import Balancer
from tests.faults.push_witness import WITNESS
from tests.servers import EmulatorServer, PostgresServer, ReceiverServer, RedisServer, RestProxy, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from headway.job import JobId

GUARDS: Final = ("sqlite", "redis", "http", "postgres")
LEASE: Final = 5.0  # seconds: the shortest that there is
_GRACE: Final = 2.0
_ACCOUNT: Final = "tasks@faults.iam.gserviceaccount.com"
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are."""

    folder: Path
    namespace: str
    settings: Mapping[str, str]  # of the app: url, guard, target, ...
    guard: str
    emulator: EmulatorServer
    receivers: list[ReceiverServer]

    @property
    def effects(self) -> Path:
        """What the handlers wrote."""
        return self.folder / "effects.jsonl"

    def waiting(self, job_id: JobId) -> str:
        """Return what the emulator still has of a job's first task, for the message of a failure."""
        name = f"projects/faults/locations/local/queues/{self.namespace}-default/tasks/{task_id(self.namespace, job_id, 0)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.emulator.http_url}/v2/{name}", timeout=10) as answer:
                found: dict[str, object] = json.loads(answer.read())
        except OSError as error:
            return f"no task: {error}"
        return str({key: value for key, value in found.items() if key not in {"httpRequest", "name"}})

    @property
    def witness(self) -> Path:
        """What the receivers changed in the guard's store."""
        return self.folder / "witness.jsonl"


@contextmanager
def own_guard(kind: str, folder: Path) -> Generator[str]:
    """Start the server of a guard's store; yield its URL."""
    with ExitStack() as stack:
        match kind:
            case "sqlite":
                yield f"sqlite:///{folder}/guard.db"
            case "postgres":
                yield stack.enter_context(PostgresServer()).url
            case "redis":
                yield stack.enter_context(RedisServer(appendonly=True)).url
            case _:
                redis = stack.enter_context(RedisServer(appendonly=True))
                yield stack.enter_context(RestProxy(redis)).url


@asynccontextmanager
async def place(
    folder: Path, namespace: str, guard: str, *, faults: str, receivers: int = 2
) -> AsyncGenerator[Place]:
    """Start everything; all of it ends with the block."""
    async with AsyncExitStack() as stack:
        emulator = EmulatorServer(faults=faults)
        stack.callback(emulator.close)
        await asyncio.to_thread(emulator.start)
        ports = [free_port() for _ in range(receivers)]
        balancer = await stack.enter_async_context(Balancer(ports, free_port()))
        settings = {
            "url": f"cloudtasks://faults/local?emulator={emulator.address}",
            "guard": guard,
            "target": balancer.url,
            "service_account": _ACCOUNT,
            "token_keys": emulator.certs_url,
        }
        environment = {
            **{f"HEADWAY_{name.upper()}": value for name, value in settings.items()},
            "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
            NAMESPACE: namespace,
            EFFECTS: str(folder / "effects.jsonl"),
            WITNESS: str(folder / "witness.jsonl"),
        }
        started: list[ReceiverServer] = []
        for number, port in enumerate(ports):
            receiver = ReceiverServer(
                "tests.faults.push_app:app", folder, environment,
                "--lease", f"{LEASE:g}s", "--grace", f"{_GRACE:g}s", "--concurrency", "100",
                name=f"receiver{number}", port=port,
            )  # fmt: skip
            stack.callback(receiver.kill)
            started.append(receiver)
        await asyncio.gather(*(asyncio.to_thread(receiver.start) for receiver in started))
        yield Place(folder, namespace, settings, guard, emulator, started)
