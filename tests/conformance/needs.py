"""What a case may need of a carrier, whether a carrier has it, and why one that has it not has it not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.brokers.base import Capabilities

REASONS: Final[dict[str, str]] = {
    "pull": (
        "Nobody claims: a lease belongs to one delivery, not to a worker. So there is no worker to list, to wake, to "
        "signal or to take jobs back from, and nobody is told when to look again. A dead receiver's job comes back by "
        "its next delivery, under the next epoch; a late renewal is granted as long as nobody else took the job over."
    ),
    "fifo": "Cloud Tasks keeps no order, and sends a task again by a back-off of its own.",
    "priority": "Priorities are mapped to queues of their own (`priority_bands`), which no order binds together.",
    "unique": "Cloud Tasks offers no more than a name that cannot be used twice: an idempotency key.",
    "events": "There is no stream of events: telemetry of the receivers tells what happens.",
    "atomic": "Cloud Tasks accepts tasks one by one: of a call that is broken off, some may have been accepted.",
    "reuse_ids": "A task's name stays taken for up to 24 hours after the task is gone.",
    "cap_succeeded": "The guard's store keeps what is completed for its time, however much that is.",
    "by_end": "The guard's store pages by id, which tells when a job was enqueued.",
    "control": "What an app is steered by is kept by another of its carriers, Redis or SQLite.",
    "figures": "Figures are kept by another carrier of the app, Redis or SQLite.",
    "one_store": (
        "Several carriers behind a route: a key is one within its queue, what is bounded or ordered is so in each."
    ),
    "max_wait_ms": "Cloud Tasks drops a task 31 days after it was due; the guard forgets what it waits for a day later.",
    "max_delay_ms": "Cloud Tasks takes delays of at most 30 days.",
    "max_payload": "A task has at most 1 MiB; `offload` moves larger payloads to a bucket.",
}


def has(capabilities: Capabilities, need: str) -> bool:
    """Tell whether the carrier has what a case needs. A limit is needed to be none, or out of the suite's reach."""
    match need:
        case "max_delay_ms":
            return capabilities.max_delay_ms is None
        case "max_wait_ms":
            return capabilities.max_wait_ms is None
        case "max_payload":
            return capabilities.max_payload >= 64 * 1024 * 1024
        case _:
            return bool(getattr(capabilities, need))
