"""Where routes flip: two carriers, workers, receivers, producers and a mover, of which one after the other is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway import Headway
from tests.faults.effects import EFFECTS
from tests.faults.flip_app import ASKED, QUEUE, UNIQUE_QUEUE
from tests.faults.group import Group
from tests.faults.jobs import NAMESPACE
from tests.faults.processes import send
from tests.faults.push_balancer import Balancer
from tests.faults.until import until
from tests.servers import EmulatorServer, ReceiverServer, free_port
from tests.servers.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from random import Random

APP: Final = "tests.faults.flip_app:app"
_ACCOUNT: Final = "tasks@faults.iam.gserviceaccount.com"
_ROOT: Final = Path(__file__).resolve().parents[2]
_LEASE: Final = 5.0  # of receivers: the shortest that there is
_KINDS: Final = {"worker": 3, "receiver": 3, "producer": 2, "mover": 1}  # and how often, to each other
_MAIN: Final = "from headway.cli import main; main()"


@dataclass(slots=True)
class Place:
    """What runs, and whom a kill may befall."""

    folder: Path
    namespace: str
    settings: Mapping[str, Any]
    environment: dict[str, str]
    queues: tuple[str, ...]  # that flip
    group: Group
    receivers: list[ReceiverServer] = field(default_factory=list)
    programs: dict[str, ServerProcess] = field(default_factory=dict)  # producers and the mover
    killed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_KINDS, 0))
    dead: set[int] = field(default_factory=set)  # workers and receivers that were killed
    _numbers: dict[str, int] = field(default_factory=dict)

    @property
    def asked(self) -> Path:
        """What producers and the mover wrote."""
        return self.folder / "asked.jsonl"

    @property
    def effects(self) -> Path:
        """What the handlers wrote."""
        return self.folder / "effects.jsonl"

    def app(self) -> Headway:
        """Return the test's own copy of the app."""
        return Headway(self.namespace, **self.settings)

    async def start_producer(self, name: str, rate: float, *, blocking: bool = False) -> None:
        """Start one under a new name: what a killed one has asked is told from what its successor asks."""
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        words = [
            "tests.faults.flip_producer",
            f"{name}-{number}",
            str(rate),
            *(["blocking"] if blocking else []),
        ]
        await self._start(name, words)

    async def start_mover(self) -> None:
        """Start what flips the routes."""
        number = self._numbers["mover"] = self._numbers.get("mover", 0) + 1
        await self._start("mover", ["tests.faults.flip_mover", str(number), *self.queues])

    async def _start(self, name: str, words: list[str]) -> None:
        command = [sys.executable, "-m", *words]
        program = ServerProcess(command, self.folder / f"{name}.log", environment=self.environment)
        await asyncio.to_thread(program.start)
        self.programs[name] = program

    async def kill_one(self, rng: Random) -> None:
        """Kill somebody, and let somebody else take the place."""
        kinds = [kind for kind in _KINDS if kind != "receiver" or self.receivers]
        [kind] = rng.choices(kinds, [_KINDS[kind] for kind in kinds])
        match kind:
            case "worker":
                pid = rng.choice(await until(lambda: self.group.workers, "a worker runs"))
                self.dead.add(pid)
                send(pid, signal.SIGKILL)
            case "receiver":
                victim = rng.choice(self.receivers)
                self.dead.add(victim.pid)
                await asyncio.to_thread(victim.kill)
                await asyncio.to_thread(victim.start)
            case "producer":
                name = rng.choice([name for name in self.programs if name != "mover"])
                await asyncio.to_thread(self.programs[name].kill)
                rate = PRODUCERS[name]
                await self.start_producer(name, rate, blocking=name == "blocking")
            case _:
                await asyncio.to_thread(self.programs["mover"].kill)
                await self.start_mover()
        self.killed[kind] += 1

    async def stop_programs(self) -> None:
        """Kill producers and mover for good."""
        for program in self.programs.values():
            await asyncio.to_thread(program.kill)

    async def command(self, *words: str) -> tuple[int, str]:
        """Run a command of ours; return its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _MAIN, *words, "--app", APP,
            stdout=asyncio.subprocess.PIPE, env=self.environment, cwd=_ROOT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()


PRODUCERS: Final = {"one": 118.0, "two": 118.0, "blocking": 36.0}
"""Jobs a second that each producer asks for; a fifth are duplicates, so that 200 are accepted."""


@asynccontextmanager
async def place(
    folder: Path, namespace: str, carriers: Mapping[str, str], guard: str = ""
) -> AsyncGenerator[Place]:
    """Start everything but the producers and the mover; with a `guard`, the last carrier pushes."""
    async with AsyncExitStack() as stack:
        settings: dict[str, Any] = {"carriers": dict(carriers)}
        ports: list[int] = []
        if guard:
            emulator = EmulatorServer()
            stack.callback(emulator.close)
            await asyncio.to_thread(emulator.start)
            ports = [free_port() for _ in range(2)]
            balancer = await stack.enter_async_context(Balancer(ports, free_port()))
            settings = {
                "carriers": {**carriers, "push": f"cloudtasks://faults/local?emulator={emulator.address}"},
                "guard": guard,
                "target": balancer.url,
                "service_account": _ACCOUNT,
                "token_keys": emulator.certs_url,
            }
        given = {f"HEADWAY_{name.upper()}": value for name, value in settings.items() if name != "carriers"}
        urls = ",".join(f"{name}={url}" for name, url in settings["carriers"].items())
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HEADWAY_")},
            **given,
            "HEADWAY_CARRIERS": urls,
            "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
            NAMESPACE: namespace,
            EFFECTS: str(folder / "effects.jsonl"),
            ASKED: str(folder / "asked.jsonl"),
        }
        # A unique job cannot be pushed: where one side pushes, their queue stays on the other one.
        queues = (QUEUE,) if guard else (QUEUE, UNIQUE_QUEUE)
        group = Group(
            folder, environment, "--processes", "2", "--concurrency", "50", "--lease", "2s", app=APP
        )
        receivers = [
            ReceiverServer(
                APP,
                folder,
                environment,
                "--lease",
                f"{_LEASE:g}s",
                "--concurrency",
                "100",
                name=f"receiver{number}",
                port=port,
            )
            for number, port in enumerate(ports)
        ]
        made = Place(folder, namespace, settings, environment, queues, group, receivers)
        stack.push_async_callback(group.close)
        for receiver in receivers:
            stack.callback(receiver.kill)
        stack.push_async_callback(made.stop_programs)
        await asyncio.gather(group.start(), *(asyncio.to_thread(one.start) for one in receivers))
        yield made


async def suffer(place: Place, rng: Random, ends: asyncio.Event) -> None:
    """Kill somebody again and again until it ends."""
    while not ends.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(rng.uniform(0.7, 1.5)):
                await ends.wait()
                return
        await place.kill_one(rng)
