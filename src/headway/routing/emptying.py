"""What is left on a carrier that is drained, and taking it over to where each queue's jobs go now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from headway.job import SHADOW_QUEUE, JobState
from headway.routing.moving import Moved, move_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headway.brokers.base import Store
    from headway.routing.declared import Declared
    from headway.routing.table import RouteTable


class Left(Struct, frozen=True):
    """Jobs of one queue that a carrier still has to run."""

    queue: str
    ready: int
    scheduled: int
    running: int

    @property
    def waiting(self) -> int:
        """Those that have not begun: they can be taken over."""
        return self.ready + self.scheduled


async def left_on(carrier: Store) -> list[Left]:
    """Return what a carrier has to run, by queue; an empty list: it is empty."""
    found = [
        Left(
            one.queue,
            one.counts.get(JobState.READY, 0),
            one.counts.get(JobState.SCHEDULED, 0),
            one.counts.get(JobState.RUNNING, 0),
        )
        for one in await carrier.counts()
        if one.queue != SHADOW_QUEUE  # copies of jobs: nobody misses them
    ]
    return sorted((one for one in found if one.waiting or one.running), key=lambda one: one.queue)


async def move_off(
    carriers: Mapping[str, Store],
    declared: Declared,
    table: RouteTable,
    name: str,
    *,
    told: Callable[[str, str, Moved], None] | None = None,
) -> dict[str, Moved]:
    """Move all that waits on a drained carrier, each queue to where most of it goes now; errors as `move_waiting`.

    What an interrupted move left is finished. `told` hears the queue, where its jobs go, and what was done so far.
    """
    done: dict[str, Moved] = {}
    # Also queues that seem empty: a move that was interrupted left traces, which are counted as cancelled jobs.
    for counts in await carriers[name].counts():
        queue = counts.queue
        if queue == SHADOW_QUEUE:
            continue
        weights = declared.working(table, queue).weights
        goal = max((one for one in weights if one != name), key=lambda one: weights[one], default=None)
        if goal is None:
            continue

        def tell(moved: Moved, queue: str = queue, goal: str = goal) -> None:
            if told is not None:
                told(queue, goal, moved)

        done[queue] = await move_waiting(carriers, queue, name, goal, told=tell)
    return done
