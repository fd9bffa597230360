"""What all measurements share: their arguments, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.environments import Environment
    from bench.peer import Peer

TEXT_200: Final = "x" * 180  # with the number and the framing a job's arguments are about 200 bytes
TEXT_10K: Final = "x" * 10_000


class UnsupportedTestError(Exception):
    """The peer cannot take part in the test; the message says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A peer to measure, and how hard."""

    peer: Peer
    environment: Environment
    scale: float  # 1 in a full run, less in a quick one
    jobs: int | None  # overrides the size of every drain
    drain_rate: float | None  # of this peer in this run, once it is known
    bulk_rate: float | None

    def size(self, seconds: float, *, pace: float | None = None, least: int = 500) -> int:
        """Jobs for about so many seconds of draining at the peer's pace."""
        if self.jobs is not None:
            return self.jobs
        return max(least, int((pace or self.peer.pace) * seconds * self.scale))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one measurement found. `jobs` is how many were checked to have run exactly once.

    `unsupported` says why a figure is not there although others are.
    """

    values: dict[str, float]
    jobs: int
    unsupported: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Test:
    """A measurement. `rounds` is the most that make sense; None: as many as the run has.

    `again`: the peers that take part in the rounds after the first; empty: all. The others are far behind in it, and a
    second and third look would tell nothing more.
    """

    name: str
    about: str
    measure: Callable[[Subject], Reading]
    rounds: int | None = None
    peers: tuple[str, ...] = ()  # only these; empty: all
    again: tuple[str, ...] = ()
    floor: bool = False  # the Redis limit takes part
    redis_only: bool = False
