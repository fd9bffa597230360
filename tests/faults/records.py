"""All that a carrier has, by the tags of the soak's jobs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from headway.brokers.base import JobQuery
from headway.codec import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import Store
    from headway.job import JobRecord


def tag_of(record: JobRecord) -> str:
    """Return the tag: the first argument of the call."""
    return str(describe(record.payload)["args"][0])


def by_tag(records: Sequence[JobRecord]) -> dict[str, list[JobRecord]]:
    """Put them by their tags."""
    found: dict[str, list[JobRecord]] = {}
    for record in records:
        found.setdefault(tag_of(record), []).append(record)
    return found


async def all_records(carrier: Store) -> list[JobRecord]:
    """Return every record, page by page."""
    found: list[JobRecord] = []
    after: str | None = None
    while True:
        page = await carrier.list(JobQuery(), after=after, limit=500)
        ids = [one.id for one in page.jobs]
        found += [one for one in await carrier.get(ids) if one is not None]
        if page.cursor is None:
            return found
        after = page.cursor


async def miscounted(carrier: Store, records: Sequence[JobRecord]) -> list[str]:
    """Compare what the carrier counts with what it has."""
    counted = {
        (row.queue, str(state)): count
        for row in await carrier.counts()
        for state, count in row.counts.items()
        if count
    }
    there = Counter((record.queue, str(record.state)) for record in records)
    return [] if counted == there else [f"counted {counted}, there are {dict(there)}"]
