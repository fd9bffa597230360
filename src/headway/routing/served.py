"""Workers seen from outside: whether one runs the jobs of a queue on a carrier, and how one is asked to drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headway.errors import HeadwayError
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import QueueCounts, Store, WorkerRecord
    from headway.job import WorkerId


async def workers_of(carrier: Store) -> Sequence[WorkerRecord]:
    """Return the workers that a carrier knows; one that pushes has none."""
    return await carrier.workers() if carrier.capabilities.pull is not None else []


async def drain_worker(carriers: Mapping[str, Store], worker: WorkerId) -> list[str]:
    """Ask a worker to drain; return the names of the carriers that know it and have told it.

    It listens on each that it serves: so one that is away is of no account where another has told it. What that one
    raises is raised where none has.
    """
    pulled = {name: one.capabilities.pull for name, one in carriers.items()}
    asked = {name: one for name, one in pulled.items() if one is not None}
    told = await asyncio.gather(*(one.drain_worker(worker) for one in asked.values()), return_exceptions=True)
    knowing = [name for name, answer in zip(asked, told, strict=True) if answer is True]
    for answer in told:
        if isinstance(answer, BaseException) and not (knowing and isinstance(answer, HeadwayError)):
            raise answer
    return knowing


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
