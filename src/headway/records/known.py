"""What the records know of some jobs already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from sqlalchemy import Text, any_, bindparam, func, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from headway.job import JobId
from headway.records.tables import JOB

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection


class Known(Struct, frozen=True):
    """Where a job is, and in which state, as far as it is recorded."""

    carrier: str
    state: str
    epoch: int
    attempt: int
    finished_ms: int | None


async def known(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Known]:
    """Return what is recorded of these jobs, as far as there is something."""
    wanted = list(ids)
    if not wanted:
        return {}
    condition, given = among(connection, wanted)
    columns = (JOB.c.id, JOB.c.carrier, JOB.c.state, JOB.c.epoch, JOB.c.attempt, JOB.c.finished_ms)
    rows = await connection.execute(select(*columns).where(condition), given)
    return {row[0]: Known(*row[1:]) for row in rows}


async def unfinished(connection: AsyncConnection, carrier: str, most: int) -> list[JobId]:
    """Return jobs of a carrier that have begun and not ended, as far as it is recorded, the oldest first."""
    begun = [
        select(JOB.c.id)
        .where(JOB.c.state == state, JOB.c.carrier == carrier, JOB.c.attempt > 0)
        .order_by(JOB.c.id)
        .limit(most)
        for state in ("running", "scheduled", "ready")
    ]
    found = union_all(*(select(one.subquery().c.id) for one in begun)).limit(most)
    return [JobId(one) for one in await connection.scalars(found)]


def among(
    connection: AsyncConnection, ids: list[str], column: ColumnElement[str] = JOB.c.id
) -> tuple[ColumnElement[bool], dict[str, object]]:
    """Return the condition that a column is one of many ids, as one parameter, and its value."""
    if connection.dialect.name == "sqlite":
        import msgspec  # noqa: PLC0415 - of the other dialect

        given = func.json_each(bindparam("ids")).table_valued("value")
        return column.in_(select(given.c.value)), {"ids": msgspec.json.encode(ids).decode()}
    return column == any_(bindparam("ids", type_=ARRAY(Text))), {"ids": ids}
