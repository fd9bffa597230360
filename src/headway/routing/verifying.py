"""Whether each job of an app is on exactly one of its carriers, and somebody is there to run it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import JobQuery, QueueCounts
from headway.job import SHADOW_QUEUE, JobId, JobState
from headway.routing.served import is_served, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.brokers.base import Store, WorkerRecord
    from headway.job import JobRecord
    from headway.routing.declared import Declared
    from headway.routing.table import RouteTable

NAMED: Final = 100
"""Jobs of one kind of trouble that are named; of further ones the number is told."""
_PAGE: Final = 1000
_WAITING: Final = (JobState.SCHEDULED, JobState.READY)


class Misplaced(Struct, frozen=True):
    """A job that is on several carriers, or was moved from one and is on no other."""

    id: JobId
    carriers: tuple[str, ...]


class Stranded(Struct, frozen=True):
    """Jobs that wait on a carrier to which the route of their queue does not lead, and that nobody serves."""

    queue: str
    carrier: str
    waiting: int


class Unrouted(Struct, frozen=True):
    """A queue whose route names carriers that the settings do not have."""

    queue: str
    carriers: tuple[str, ...]


class Verified(Struct):
    """What was found. `jobs` were looked at, `traces` are what jobs left behind that were moved."""

    counts: dict[str, dict[str, QueueCounts]]  # by carrier and queue
    jobs: int = 0
    traces: int = 0
    doubles: list[Misplaced] = []
    more_doubles: int = 0
    gone: list[Misplaced] = []
    more_gone: int = 0
    stranded: list[Stranded] = []
    unrouted: list[Unrouted] = []

    @property
    def sound(self) -> bool:
        """True when nothing is wrong."""
        return not (self.doubles or self.gone or self.stranded or self.unrouted)


async def verify(
    carriers: Mapping[str, Store],
    declared: Declared,
    table: RouteTable,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Verified:
    """Look at all jobs of all carriers, a page at a time: memory does not grow with them. The app may go on meanwhile.

    Each job that one carrier lists is asked for on those behind it: so each pair of carriers is compared once. What
    seems to be wrong is looked at again, for a job may have been moved meanwhile.
    """
    counted = await asyncio.gather(*(carrier.counts() for carrier in carriers.values()))
    found = Verified(
        {name: {one.queue: one for one in some} for name, some in zip(carriers, counted, strict=True)}
    )
    found.unrouted = _unrouted(found, declared, table)
    found.stranded = await _stranded(found, carriers, declared, table)
    names = list(carriers)
    for n, name in enumerate(names):
        cursor: str | None = None
        while True:
            page = await carriers[name].list(JobQuery(), after=cursor, limit=_PAGE)
            await _compare(found, carriers, name, names[n + 1 :], page.jobs)
            if on_progress is not None:
                on_progress(found.jobs)
            cursor = page.cursor
            if cursor is None:
                break
    return found


async def _compare(
    found: Verified,
    carriers: Mapping[str, Store],
    name: str,
    behind: Sequence[str],
    jobs: Sequence[JobRecord],
) -> None:
    traces = [job.id for job in jobs if job.withdrawn]
    here = [job.id for job in jobs if not job.withdrawn]
    found.jobs += len(here)
    found.traces += len(traces)
    for other in behind:
        twice = await _there(carriers[other], here)
        # In this order: a job that left the first for the second before it was looked for there is seen to have left.
        twice = await _there(carriers[other], await _there(carriers[name], twice))
        found.more_doubles += _add(found.doubles, [Misplaced(one, (name, other)) for one in twice])
    gone = await _nowhere(carriers, name, traces)
    found.more_gone += _add(found.gone, [Misplaced(one, (name,)) for one in gone])


async def _there(carrier: Store, ids: Sequence[JobId]) -> list[JobId]:
    """Return those of the jobs that a carrier has, other than as a trace."""
    if not ids:
        return []
    return [job.id for job in await carrier.get(ids) if job is not None and not job.withdrawn]


async def _nowhere(carriers: Mapping[str, Store], name: str, traces: Sequence[JobId]) -> list[JobId]:
    """Return those jobs that left a carrier and are on none; looked for twice, for one may be on its way."""
    for _ in range(2):
        for carrier in carriers.values():
            there = set(await _there(carrier, traces))
            traces = [one for one in traces if one not in there]
    # Whoever moves a job forgets it where it was at the very end: what left no trace any more has arrived.
    still = await carriers[name].get(traces) if traces else []
    return [job.id for job in still if job is not None and job.withdrawn]


def _add(named: list[Misplaced], more: Sequence[Misplaced]) -> int:
    """Name those for which there is room; return how many are left."""
    room = NAMED - len(named)
    named += more[:room]
    return len(more[room:])


def waiting(counts: QueueCounts) -> int:
    """Return how many jobs of a queue wait, ready and scheduled."""
    return sum(counts.counts.get(state, 0) for state in _WAITING)


def _unrouted(found: Verified, declared: Declared, table: RouteTable) -> list[Unrouted]:
    queues = {*declared.over(table).routes, *(queue for counts in found.counts.values() for queue in counts)}
    unknown = {queue: declared.unknown(declared.route(table, queue)) for queue in sorted(queues)}
    return [Unrouted(queue, tuple(names)) for queue, names in unknown.items() if names]


async def _stranded(
    found: Verified, carriers: Mapping[str, Store], declared: Declared, table: RouteTable
) -> list[Stranded]:
    stranded: list[Stranded] = []
    for name, counts in found.counts.items():
        left = [
            one
            for one in counts.values()
            if waiting(one)
            and one.queue != SHADOW_QUEUE  # copies of jobs, which expire
            and name not in _leads_to(declared, table, one.queue)
        ]
        workers: Sequence[WorkerRecord] = await workers_of(carriers[name]) if left else ()
        stranded += [
            Stranded(one.queue, name, waiting(one))
            for one in left
            if not is_served(carriers[name], workers, one.queue, one)
        ]
    return stranded


def _leads_to(declared: Declared, table: RouteTable, queue: str) -> set[str]:
    """Return the carriers to which a queue's jobs go; the first takes the share of those that are not there."""
    route = declared.working(table, queue)
    return {*route.weights, *([declared.first] if declared.unknown(route) else [])}
