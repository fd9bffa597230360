"""Writes rows: a statement for each table, idempotent, so that what is written twice is there once.

PostgreSQL gets the rows of a statement as one JSON document: one parameter, whatever their number, which costs less
than arrays or COPY for rows that say little. SQLite gets them one by one, which costs it nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec.structs import asdict, fields
from sqlalchemy import (
    JSON,
    Column,
    Table,
    and_,
    bindparam,
    case,
    column,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql, sqlite

from headway.records.tables import ERROR_GROUP, EXECUTION, HAPPENING, JOB, TERM
from headway.records.values import REMOVED
from headway.records.written import ExecutionRow, GroupRow, HappeningRow, JobRow, TermRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.base import ReadOnlyColumnCollection

    from headway.records.written import Rows

    Columns = ReadOnlyColumnCollection[str, Any]
    Insert = postgresql.Insert | sqlite.Insert

_ROWS: Final[dict[str, type[msgspec.Struct]]] = {
    JOB.name: JobRow,
    EXECUTION.name: ExecutionRow,
    HAPPENING.name: HappeningRow,
    TERM.name: TermRow,
    ERROR_GROUP.name: GroupRow,
}
_NUL: Final = b"\\u0000"
_encode: Final = msgspec.json.Encoder().encode
_TERMINAL: Final = ("succeeded", "failed", "cancelled", "expired")
# Once a job is described, these are what its carrier says last.
_DESCRIBED: Final = (
    "task",
    "priority",
    "crashes",
    "due_ms",
    "expires_ms",
    "key",
    "reason",
    "progress",
    "progress_message",
)
_KEPT: Final = (
    "arguments",
    "headers",
    "tags",
    "error_type",
    "error_message",
    "error_group",
    "worker",
    "started_ms",
    "logs",
)


async def write(connection: AsyncConnection, rows: Rows) -> None:
    """Write all rows in the present transaction, in the order of their keys: two writers never wait in a circle."""
    jobs = [rows.jobs[key] for key in sorted(rows.jobs)]
    executions = [rows.executions[key] for key in sorted(rows.executions)]
    terms = sorted(set(rows.terms), key=lambda one: (one.term, one.job_id))
    groups = [rows.groups[key] for key in sorted(rows.groups)]
    for table, some in (
        (JOB, jobs),
        (EXECUTION, executions),
        (HAPPENING, rows.happenings),
        (TERM, terms),
        (ERROR_GROUP, groups),
    ):
        if some:
            await _upsert(connection, table, some)


def insert_once(connection: AsyncConnection, table: Table, row: dict[str, Any]) -> Any:  # noqa: ANN401 - as below
    """Return the statement that adds a row unless its key is there."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table).values(row).on_conflict_do_nothing()


async def _upsert(connection: AsyncConnection, table: Table, rows: Sequence[msgspec.Struct]) -> None:
    if connection.dialect.name == "sqlite":
        await connection.execute(_for_sqlite(table), [asdict(one) for one in rows])
        return
    document = _encode(rows)
    if _NUL in document:
        document = _encode(_without_nul(msgspec.to_builtins(rows)))
    await connection.execute(_for_postgresql(table), {"rows": document.decode()})


@cache
def _for_sqlite(table: Table) -> Any:  # noqa: ANN401 - as below
    return _resolved(table, sqlite.insert(table))


@cache
def _for_postgresql(table: Table) -> Any:  # noqa: ANN401 - as below
    given = func.json_to_recordset(sql_cast(bindparam("rows"), JSON))
    derived = given.table_valued(*(column(one.name, one.type) for one in table.columns))
    source = derived.render_derived("given", with_types=True)
    names = [one.name for one in table.columns]
    defaults = {one.encode_name: one.default for one in fields(_ROWS[table.name])}
    values = [
        # What is not in the document has its default.
        func.coalesce(source.c[name], literal_column(repr(default)))
        if isinstance(default := defaults[name], int | str)
        else source.c[name]
        for name in names
    ]
    return _resolved(table, postgresql.insert(table).from_select(names, select(*values)))


def _without_nul(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    match value:
        case str():
            return value.replace("\0", "\N{SYMBOL FOR NULL}")
        case list():
            return [_without_nul(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        case dict():
            return {key: _without_nul(one) for key, one in cast("dict[str, Any]", value).items()}
        case _:
            return value


def _resolved(table: Table, insert: Any) -> Any:  # noqa: ANN401 - the two dialects have no common type for it
    """Say what becomes of a row that is there."""
    keys = list(table.primary_key.columns)
    if table is HAPPENING or table is TERM:
        return insert.on_conflict_do_nothing(index_elements=keys)
    new: Columns = insert.excluded
    changes = {
        JOB.name: _job_changes,
        EXECUTION.name: _execution_changes,
        ERROR_GROUP.name: _group_changes,
    }[table.name](new)
    return insert.on_conflict_do_update(index_elements=keys, set_=changes)


def _job_changes(new: Columns) -> dict[str, ColumnElement[Any]]:
    """Let the carrier that has the job last say what becomes of it: a move goes on under a higher epoch."""
    old = JOB.c
    newer = or_(new.carrier == old.carrier, new.epoch > old.epoch)
    described = and_(newer, new.task != "")
    overtaken = and_(
        new.state == REMOVED, or_(*(old.state == one for one in _TERMINAL))
    )  # removed after its end
    changes: dict[str, ColumnElement[Any]] = {
        name: case((described, new[name]), else_=old[name]) for name in _DESCRIBED
    }
    changes |= {name: case((newer, func.coalesce(new[name], old[name])), else_=old[name]) for name in _KEPT}
    changes["epoch"] = case((described, new.epoch), (newer, _greater(old.epoch, new.epoch)), else_=old.epoch)
    told = and_(newer, new.attempt > 0)
    changes["attempt"] = case((described, new.attempt), (told, new.attempt), else_=old.attempt)
    changes["queue"] = case((and_(newer, new.queue != ""), new.queue), else_=old.queue)
    changes["carrier"] = case((newer, new.carrier), else_=old.carrier)
    changes["state"] = case((newer, case((overtaken, old.state), else_=new.state)), else_=old.state)
    changes["finished_ms"] = case(
        (newer, case((overtaken, old.finished_ms), else_=new.finished_ms)), else_=old.finished_ms
    )
    changes["removed_ms"] = case((newer, new.removed_ms), else_=old.removed_ms)
    changes["route_version"] = case(
        (newer, func.coalesce(new.route_version, old.route_version)), else_=old.route_version
    )
    return changes


def _execution_changes(new: Columns) -> dict[str, ColumnElement[Any]]:
    """Fill in what was not known; the first end of an attempt is its end."""
    old = EXECUTION.c
    changes: dict[str, ColumnElement[Any]] = {
        one.name: func.coalesce(old[one.name], new[one.name])
        for one in EXECUTION.columns
        if one.nullable and not one.primary_key
    }
    changes["attempt"] = case((old.attempt == 0, new.attempt), else_=old.attempt)
    return changes


def _group_changes(new: Columns) -> dict[str, ColumnElement[Any]]:
    old = ERROR_GROUP.c
    return {
        "first_ms": case((new.first_ms < old.first_ms, new.first_ms), else_=old.first_ms),
        "last_ms": _greater(old.last_ms, new.last_ms),
        "message": case((new.last_ms >= old.last_ms, new.message), else_=old.message),
    }


def _greater(one: Column[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((other > one, other), else_=one)
