"""Giving waiting jobs away to another carrier of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.redis.records import Columns, before_withdrawal, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.redis.session import Session
    from headway.job import JobId, JobRecord

_BATCH: Final = 200  # jobs per script call: each costs the server some 0.1 ms, and payloads come back


async def withdraw(session: Session, ids: Sequence[JobId], reason: str) -> list[JobRecord | None]:
    """End waiting jobs; return them as they were, and those that were withdrawn under this reason before."""
    found: list[JobRecord | None] = []
    for first in range(0, len(ids), _BATCH):
        some = ids[first : first + _BATCH]
        marks, done, blobs, logged, generation = await session.run("withdraw", reason, *some)
        rows = [
            Columns(blob, done=ended, withdrawn=mark, logged=log)
            for mark, ended, blob, log in zip(marks, done, blobs, logged, strict=True)
        ]
        kinds = await session.kinds((kind for row in rows if (kind := row.kind())), generation)
        for job_id, row in zip(some, rows, strict=True):
            ended = record(job_id, row, kinds) if row.withdrawn else None
            if ended is None or row.withdrawn is None or ended.reason != reason:
                found.append(None)
            else:
                found.append(before_withdrawal(ended, row.withdrawn))
    return found
