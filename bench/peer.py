"""A peer: what is measured, in which configuration, and how its worker and producer are started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from bench.inside.configuration import Configuration

EACH_QUEUE: Final = "{each queue}"  # in a worker command: the names of the queues, a word each
Language = Literal["python", "node"]
Carrier = Literal["redis", "sqlite"]


@dataclass(frozen=True, slots=True)
class Peer:
    """One job system in its best honest configuration. `{processes}` and `{concurrency}` in `worker` are filled in."""

    name: str
    folder: str  # below bench/peers
    worker: tuple[str, ...]  # arguments of the interpreter
    pace: int  # jobs/s that one process drains, roughly: sizes the loads
    configuration: str  # for the report: what was chosen, and why where that is not plain
    language: Language = "python"
    carrier: Carrier = "redis"
    own_processes: bool = False  # the worker command starts its processes by itself
    concurrency: int = 100
    multi_queue: bool = True  # one worker can serve several queues
    acknowledges: bool = True
    floor: bool = False  # no peer but a limit: takes part in drain and bulk only
    tree: Path | None = None  # of Headway: the source that it runs from, where that is another revision

    @property
    def producer(self) -> tuple[str, ...]:
        """The arguments of the interpreter for the producer."""
        if self.language == "node":
            return ("producer.js",)
        return ("-m", "bench.inside.produce", f"bench.peers.{self.folder}.producer")

    def workers(self, settings: Configuration) -> list[tuple[str, ...]]:
        """The worker commands for a configuration."""
        command: list[str] = []
        for word in self.worker:
            if word == EACH_QUEUE:
                command += settings.queues
            else:
                command.append(
                    word.format(
                        processes=settings.processes,
                        concurrency=settings.concurrency,
                        queues=",".join(settings.queues),
                        url=settings.url,
                    )
                )
        return [tuple(command)] * (1 if self.own_processes else settings.processes)
