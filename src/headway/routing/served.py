"""Whether somebody runs the jobs of a queue on a carrier, as far as that can be seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import QueueCounts, Store, WorkerRecord


async def workers_of(carrier: Store) -> Sequence[WorkerRecord]:
    """Return the workers that a carrier knows; one that pushes has none."""
    return await carrier.workers() if carrier.capabilities.pull is not None else []


def is_served(
    carrier: Store, workers: Sequence[WorkerRecord], queue: str, counts: QueueCounts | None
) -> bool:
    """Tell whether a worker asks for the queue, or a job of it runs; of a carrier that pushes, whether one ever ended.

    A worker of which the carrier does not know what it asks for may serve any.
    """
    found = {} if counts is None else counts.counts
    if found.get(JobState.RUNNING):
        return True
    if carrier.capabilities.pull is None:
        return any(count and state.terminal for state, count in found.items())
    return any(not worker.queues or queue in worker.queues for worker in workers)
