"""What the harness tells a worker or a producer: one JSON object in the environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Final

VARIABLE: Final = "BENCH_CONFIGURATION"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One measurement, as a peer's processes see it."""

    url: str  # of the Redis, or of the SQLite file
    folder: str  # where workers keep their tallies and producers their stamps
    capacity: int  # job numbers are below this
    work: str = "none"  # what a job does: none, sleep (1 ms), cpu (1 ms) or hold
    hold: float = 0.0  # seconds that a `hold` job sleeps
    queues: list[str] = field(default_factory=lambda: ["bench"])
    concurrency: int = 100  # jobs at once in one process, where the peer can
    processes: int = 1
    feature: str = ""  # of Headway: the name of a task of bench.peers.headway.tasks

    @property
    def each(self) -> int:
        """Jobs at once of each queue, for peers that have one worker a queue: together they have `concurrency`."""
        return max(1, self.concurrency // len(self.queues))

    def environment(self) -> dict[str, str]:
        """Return the variable that carries it."""
        return {VARIABLE: json.dumps(asdict(self))}


def read_configuration() -> Configuration:
    """Return what the harness said; KeyError outside the harness."""
    return Configuration(**json.loads(os.environ[VARIABLE]))
