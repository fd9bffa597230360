"""The migrator is killed at random points while workers and producers of BullMQ or Bull go on.

Judged by files outside of every store: what producers had accepted, and what each side's workers started. No job is lost,
none is run by both sides. HEADWAY_MIGRATE_KILLS sets how often it is killed; HEADWAY_MIGRATE_ALL takes all four libraries
to all three carriers.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.figures import FIGURE
from tests.servers import EmulatorServer, ReceiverServer, RedisServer
from tests.servers.node_libraries import (
    LIBRARIES,
    NodeMissingError,
    installed,
    ledger_lines,
    producer,
    wait_for_lines,
    worker,
)
from tests.servers.process import ServerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KILLS: Final = int(os.environ.get("HEADWAY_MIGRATE_KILLS", "3"))
ALL: Final = "HEADWAY_MIGRATE_ALL" in os.environ
CARRIERS: Final = ("redis", "sqlite", "cloudtasks")
CASES: Final = (
    [(library, carrier) for library in LIBRARIES for carrier in CARRIERS]
    if ALL
    else [("bullmq6", "redis"), ("bull4", "sqlite")]
)
HEADWAY: Final = [sys.executable, "-c", "from headway.cli import main; main()"]
PREFIX: Final = "old"
QUEUE: Final = "work"
APP: Final = """
import json
import os

from headway import Headway

app = Headway("shop")
book = os.open(os.environ["OUR_BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@app.task(queue="work")
async def work(n: int, by: int, key: str, plan: dict[str, int]) -> None:
    os.write(book, (json.dumps({"key": key}) + "\\n").encode())
"""
MAP: Final = """
[[job]]
name = "work"
task = "shop.work"
arguments = "fields"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150 + 25 * KILLS)]


class Place:
    """A Redis with a system of BullMQ or Bull, and an app on a carrier."""

    def __init__(self, library: str, carrier: str, folder: Path, stack: ExitStack) -> None:
        self.library, self.folder, self._stack = library, folder, stack
        self.server = stack.enter_context(RedisServer(appendonly=True))
        self.ours, self.accepted = folder / "ours", folder / "accepted"
        self.theirs = [folder / "theirs-0", folder / "theirs-1"]
        (folder / "shop.py").write_text(APP, encoding="utf-8")
        (folder / "map.toml").write_text(MAP, encoding="utf-8")
        own = {name: text for name, text in os.environ.items() if not name.startswith("HEADWAY_")}
        self.environment = {**own, "HEADWAY_APP": "shop:app", "OUR_BOOK": str(self.ours)}
        self._serve(carrier)

    def _serve(self, carrier: str) -> None:
        """Start what runs the jobs on our side."""
        if carrier == "cloudtasks":
            emulator = self._stack.enter_context(EmulatorServer())
            self.environment |= {
                "HEADWAY_URL": f"cloudtasks://local/here?emulator={emulator.address}",
                "HEADWAY_GUARD": f"sqlite:///{self.folder / 'guard.db'}",
                "HEADWAY_PUSH_SECRET": "only-here",
            }
            receiver = ReceiverServer("shop:app", self.folder, self.environment)
            self.environment["HEADWAY_TARGET"] = receiver.url
            receiver = ReceiverServer("shop:app", self.folder, self.environment, port=receiver.port)
            self._stack.enter_context(receiver)
            return
        self.environment["HEADWAY_URL"] = (
            self.server.url if carrier == "redis" else f"sqlite:///{self.folder / 'shop.db'}"
        )
        command = [*HEADWAY, "worker", "--processes", "1"]
        self.run(ServerProcess(command, self.folder / "worker.log", environment=self.environment))

    def run(self, process: ServerProcess) -> ServerProcess:
        """Start a process; it is killed at the end."""
        process.start()
        self._stack.callback(process.kill)
        return process

    def migrate(self, *words: str) -> list[str]:
        """Return a command line of `headway migrate`."""
        kind = self.library.rstrip("0123456789")
        source = ["--from", kind, "--source", self.server.url, "--prefix", PREFIX, "--queues", QUEUE]
        return [*HEADWAY, "migrate", words[0], *source, "--map", "map.toml", *words[1:]]

    def taken(self) -> int:
        """Return how many jobs were ever taken."""
        found = self.server.call("GET", f"headway-migrate:{PREFIX}:{QUEUE}:n")
        return int(found) if isinstance(found, str) else 0

    def started(self) -> tuple[Counter[str], Counter[str]]:
        """Return how often each job was started, by their workers and by ours."""
        theirs = Counter(line["data"]["key"] for book in self.theirs for line in ledger_lines(book))
        return theirs, Counter(line["key"] for line in ledger_lines(self.ours))


@pytest.mark.parametrize(("library", "carrier"), CASES)
def test_killed_and_begun_again(
    library: str, carrier: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    try:
        installed()
    except NodeMissingError as error:
        pytest.skip(str(error))
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    with ExitStack() as stack:
        place = Place(library, carrier, tmp_path, stack)
        url = place.server.url
        # More than the two workers there can run, so that there is something to move.
        making = place.run(producer(library, url, PREFIX, QUEUE, place.accepted, 80, ms=60))
        for book in place.theirs:
            place.run(worker(library, url, PREFIX, QUEUE, book))
        wait_for_lines(place.accepted, 60)
        for turn in range(KILLS):
            how = place.migrate(*(["forward"] if turn % 2 else ["apply", "--yes"]))
            process = ServerProcess(how, tmp_path / "migrate.log", environment=place.environment)
            before = place.taken()
            process.start()
            if chance.random() < 0.8:  # else it is killed while it starts
                deadline = time.monotonic() + 10
                while place.taken() == before and process.running and time.monotonic() < deadline:
                    time.sleep(0.002)
            time.sleep(chance.random() ** 2 * 0.5)  # the random point
            process.kill()
        making.kill()
        # The last one may have been accepted while its producer died.
        lines = ledger_lines(place.accepted)
        accepted = {line["accepted"] for line in lines if "accepted" in line}
        tried = {line["trying"] for line in lines if "trying" in line}
        for _ in range(2):  # what runs or is locked there at the first look may wait at the second
            done = subprocess.run(
                place.migrate("apply", "--yes"), cwd=tmp_path, env=place.environment, capture_output=True, text=True,
                timeout=120 + 10 * KILLS, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr

        def over() -> bool:
            theirs, ours = place.started()
            return accepted <= theirs.keys() | ours.keys()

        wait_until(over, "all jobs started", 90 + 5 * KILLS)
        theirs, ours = place.started()
        by_both = theirs.keys() & ours.keys()
        twice = [key for counter in (theirs, ours) for key, count in counter.items() if count > 1]
        figures = f"{len(accepted)} accepted, {len(theirs)} run there, {len(ours)} here; seed {seed}"
        assert not by_both, f"{by_both}: {figures}"
        assert not twice, f"{twice}: {figures}"
        assert (theirs.keys() | ours.keys()) <= tried
        assert len(ours) > len(accepted) / 20, figures
        verified = subprocess.run(
            place.migrate("verify", "--json"), cwd=tmp_path, env=place.environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert verified.returncode == 0, verified.stdout + verified.stderr
        record_property(FIGURE, f"{KILLS} kills: {figures}")
