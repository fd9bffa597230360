"""What there is in a source, without a map and without an app: counted, by queue and state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.migrate.census import Census
from headway.migrate.plan import LOOKED_AT, expect

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headway.migrate.found import FoundState
    from headway.migrate.progress import Meter
    from headway.migrate.source import Source


async def inspect(
    source: Source, queues: Sequence[str], meter: Meter, *, states: Collection[FoundState] = LOOKED_AT
) -> Census:
    """Look at all jobs of these queues; what cannot be read is counted as refused, all else as left."""
    census = Census()
    await expect(source, queues, states, meter)
    for queue in queues:
        async for page in source.pages(queue, states):
            for job in page:
                census.note_found(job)
                if job.refusal:
                    census.note_refused(job, job.refusal)
                else:
                    census.note_left(job, "")
            meter.add(len(page))
    return census
