"""Forgets what is older than it is kept, in batches, so that no delete holds anybody up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select

from headway.records.known import among
from headway.records.tables import ERROR_GROUP, EXECUTION, HAPPENING, JOB, TERM

if TYPE_CHECKING:
    from headway.records.store import RecordStore

BATCH: Final = 1000
_FAILED: Final = "failed"


async def prune(
    store: RecordStore, *, completed_before_ms: int, failed_before_ms: int, batch: int = BATCH
) -> int:
    """Forget jobs that ended before these instants, one batch of each; return how many: as many as that, go on."""
    removed = 0
    for failed, before in ((False, completed_before_ms), (True, failed_before_ms)):
        async with store.writing() as connection:
            kind = JOB.c.state == _FAILED if failed else JOB.c.state != _FAILED
            ids = list(
                await connection.scalars(
                    select(JOB.c.id)
                    .where(JOB.c.finished_ms < before, kind)
                    .order_by(JOB.c.finished_ms)
                    .limit(batch)
                )
            )
            if ids:
                for table in (TERM, EXECUTION, HAPPENING):
                    condition, given = among(connection, ids, table.c.job_id)
                    await connection.execute(delete(table).where(condition), given)
                condition, given = among(connection, ids)
                await connection.execute(delete(JOB).where(condition), given)
        removed += len(ids)
    async with store.writing() as connection:
        await connection.execute(delete(ERROR_GROUP).where(ERROR_GROUP.c.last_ms < failed_before_ms))
    return removed
