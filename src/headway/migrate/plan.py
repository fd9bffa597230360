"""What `apply` would do: every job looked at and checked, nothing moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.migrate.census import Census
from headway.migrate.deciding import Left, Refused
from headway.migrate.found import FoundState
from headway.migrate.ids import entry_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headway.migrate.deciding import Deciding, Intent
    from headway.migrate.destination import Destination
    from headway.migrate.found import FoundJob
    from headway.migrate.progress import Meter
    from headway.migrate.source import Source

LOOKED_AT: Final = frozenset(FoundState) - {FoundState.COMPLETED, FoundState.FAILED}
"""What waits or runs. What has ended is looked at when it is asked for: there may be very much of it."""


def judge(
    source: Source, job: FoundJob, deciding: Deciding, destination: Destination
) -> Intent | Left | Refused:
    """Return what becomes of a job, with the carrier that its route names."""
    decision = deciding.decide(job)
    if isinstance(decision, Left | Refused):
        return decision
    return destination.routed(decision, lambda: entry_id(source, job))


async def plan(
    source: Source,
    queues: Sequence[str],
    deciding: Deciding,
    destination: Destination,
    meter: Meter,
    *,
    states: Collection[FoundState] = LOOKED_AT,
) -> Census:
    """Look at all jobs of these queues."""
    census = Census()
    await expect(source, queues, states, meter)
    for queue in queues:
        async for page in source.pages(queue, states):
            await destination.freshen()
            for job in page:
                census.note_found(job)
                note(census, job, judge(source, job, deciding, destination))
            meter.add(len(page))
    return census


def note(census: Census, job: FoundJob, decision: Intent | Left | Refused) -> None:
    """Count what becomes of a job."""
    match decision:
        case Left(why):
            census.note_left(job, why)
        case Refused(why):
            census.note_refused(job, why)
        case _:
            census.note_moved(job, decision)


async def expect(
    source: Source,
    queues: Sequence[str],
    states: Collection[FoundState],
    meter: Meter,
    census: Census | None = None,
) -> None:
    """Tell the meter, and a census, about how many jobs there are."""
    for queue in queues:
        counts = await source.counts(queue)
        for state, count in counts.items():
            if state in states:
                meter.total += count
                if census is not None:
                    census.expect(queue, state, count)
