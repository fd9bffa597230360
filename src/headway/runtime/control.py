"""What a supervisor and its workers say to each other: one JSON object a line over a socket pair."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from headway.brokers.base import BrokerSettings
from headway.job import Lease, WorkerId


class WorkerOptions(Struct, frozen=True):
    """How a worker is started; what is None comes from the app's settings. Durations are seconds."""

    app: str  # module:name
    queues: list[str] | None = None
    carriers: list[str] | None = None
    concurrency: int | None = None
    lease: float | None = None
    grace: float | None = None


class CarrierUrl(Struct, frozen=True):
    """A carrier that a worker serves."""

    name: str
    url: str


class Hello(Struct, frozen=True, tag=True):
    """From the worker, once its app is imported: where its jobs are, so that the supervisor can keep its leases.

    `carriers` are in the order of the worker's lanes, by the numbers of which all else tells them apart.
    """

    worker: WorkerId
    carriers: list[CarrierUrl]
    broker: BrokerSettings
    lease_ms: int
    grace: float
    max_jobs: int
    max_memory_mb: int
    processes: int
    files: list[str]


class Claiming(Struct, frozen=True, tag=True):
    """From the worker: it is connected and claims."""


class Goodbye(Struct, frozen=True, tag=True):
    """From the worker: it has drained and handed back what was left; its end is in order."""


class Judged(Struct, frozen=True, tag=True):
    """From the worker: the outcomes of what another one was ended for are settled."""

    worker: WorkerId
    lane: int = 0


class Judge(Struct, frozen=True, tag=True):
    """To a worker: another one was ended for these jobs, past their time limit; ask their retry policies.

    `lane` is the one of the worker that is asked.
    """

    worker: WorkerId
    leases: list[Lease]
    lane: int = 0


class Stop(Struct, frozen=True, tag=True):
    """To the worker: claim no more, finish within the grace time, go."""


class Lost(Struct, frozen=True, tag=True):
    """To the worker: its lease was lost on the carrier of this lane."""

    lane: int = 0


class Away(Struct, frozen=True, tag=True):
    """From the worker: why the carrier of a lane is not available; empty: it is again."""

    why: str
    lane: int = 0


class DrainAsked(Struct, frozen=True, tag=True):
    """From the worker: somebody asked on a carrier that it drains; it goes on until it is told to stop."""


FromWorker = Hello | Claiming | Goodbye | Judged | Away | DrainAsked
ToWorker = Stop | Lost | Judge

_encode: Final = msgspec.json.Encoder().encode
decode_from_worker: Final = msgspec.json.Decoder(FromWorker).decode
decode_to_worker: Final = msgspec.json.Decoder(ToWorker).decode
decode_options: Final = msgspec.json.Decoder(WorkerOptions).decode


def line(message: FromWorker | ToWorker | WorkerOptions) -> bytes:
    """Return the line of a message."""
    return _encode(message) + b"\n"
