"""The table and the statements, each one round trip and one transaction.

A statement sees the table as it was when it began: what another one commits meanwhile stops it from writing, but is not
seen by its second half. Such a statement answers with no row, and is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.sql import SQL, Composed, Identifier

_COLUMNS: Final = SQL("key, version, grp, tag, changed_ms, forget_ms, data")
_ALIVE: Final = SQL("(forget_ms IS NULL OR forget_ms > %(now)s)")

TABLE: Final = "headway_guard"

_CREATE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
    app text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, version bigint NOT NULL,
    grp text COLLATE "C" NOT NULL, tag text COLLATE "C" NOT NULL,
    changed_ms bigint NOT NULL, forget_ms bigint, data bytea NOT NULL,
    PRIMARY KEY (app, key))
"""
_CREATE_KIND: Final = "CREATE INDEX IF NOT EXISTS headway_guard_kind ON {table} (app, grp, tag, forget_ms)"
_CREATE_FORGET: Final = (
    "CREATE INDEX IF NOT EXISTS headway_guard_forget ON {table} (app, forget_ms) WHERE forget_ms IS NOT NULL"
)
# Of the entries that are due, some are forgotten by the way; never the one that is written, and never by waiting.
# In an array: `key IN (SELECT ...)` may be joined by a plan that runs the query, and counts its limit, for each row.
_FORGET: Final = """
DELETE FROM {table} WHERE app = %(app)s AND key = ANY(ARRAY(
    SELECT key FROM {table} WHERE app = %(app)s AND forget_ms <= %(now)s AND key <> %(key)s
    ORDER BY forget_ms LIMIT {some} FOR UPDATE SKIP LOCKED))
"""
_INSERT: Final = """
WITH forgotten AS ({forget}), kept AS (
    INSERT INTO {table} AS there (app, {columns})
    VALUES (%(app)s, %(key)s, %(version)s, %(group)s, %(tag)s, %(changed)s, %(forget)s, %(data)s)
    ON CONFLICT (app, key) DO UPDATE SET version = excluded.version, grp = excluded.grp, tag = excluded.tag,
        changed_ms = excluded.changed_ms, forget_ms = excluded.forget_ms, data = excluded.data
        WHERE there.forget_ms <= %(now)s
    RETURNING true AS new, {columns})
SELECT new, {columns} FROM kept
UNION ALL
SELECT false, {columns} FROM {table} WHERE app = %(app)s AND key = %(key)s AND {alive} AND NOT EXISTS (SELECT FROM kept)
"""
_SWAP: Final = """
WITH forgotten AS ({forget}), kept AS (
    UPDATE {table} SET version = %(version)s, grp = %(group)s, tag = %(tag)s, changed_ms = %(changed)s,
        forget_ms = %(forget)s, data = %(data)s
    WHERE app = %(app)s AND key = %(key)s AND version = %(version)s - 1 AND {alive}
    RETURNING true AS same)
SELECT same FROM kept
UNION ALL
SELECT (version, grp, tag, changed_ms, data) = (%(version)s, %(group)s, %(tag)s, %(changed)s, %(data)s)
    AND forget_ms IS NOT DISTINCT FROM %(forget)s
FROM {table} WHERE app = %(app)s AND key = %(key)s AND version <> %(version)s - 1 AND NOT EXISTS (SELECT FROM kept)
"""
_PRUNE: Final = """
WITH gone AS (
    DELETE FROM {table} WHERE app = %(app)s AND key = ANY(ARRAY(
        SELECT key FROM {table} WHERE app = %(app)s AND forget_ms <= %(now)s
        ORDER BY forget_ms LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING 1)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Statements:
    """All of them, for the table of one schema."""

    exists: Composed
    create: tuple[Composed, ...]
    insert: Composed
    swap: Composed
    delete: Composed
    read: Composed
    page: Composed
    clock: Composed
    counts: Composed
    prune: Composed


def make_statements(schema: str) -> Statements:
    """Write the statements for the table in a schema."""
    table = Identifier(schema, TABLE)

    def write(text: LiteralString) -> Composed:
        forget = SQL(_FORGET).format(table=table, some=SQL("10"))
        return SQL(text).format(table=table, columns=_COLUMNS, alive=_ALIVE, forget=forget)

    return Statements(
        exists=SQL("SELECT to_regclass({})").format(f'"{schema}".{TABLE}'),
        create=tuple(write(text) for text in (_CREATE, _CREATE_KIND, _CREATE_FORGET)),
        insert=write(_INSERT),
        swap=write(_SWAP),
        delete=write(
            "DELETE FROM {table} WHERE app = %(app)s AND key = %(key)s AND version = %(version)s RETURNING 1"
        ),
        read=write("SELECT {columns} FROM {table} WHERE app = %(app)s AND key = ANY(%(keys)s) AND {alive}"),
        page=write(
            "SELECT {columns} FROM {table} WHERE app = %(app)s AND {alive}"
            " AND (%(after)s::text IS NULL OR key < %(after)s)"
            " AND CASE WHEN %(groups)s::text[] IS NULL THEN NOT starts_with(grp, ':') ELSE grp = ANY(%(groups)s) END"
            " AND (%(tags)s::text[] IS NULL OR tag = ANY(%(tags)s)) ORDER BY key DESC LIMIT %(limit)s"
        ),
        clock=write("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"),
        counts=write(
            "SELECT grp, tag, count(*) FROM {table} WHERE app = %(app)s AND NOT starts_with(grp, ':') AND {alive}"
            " GROUP BY grp, tag"
        ),
        prune=write(_PRUNE),
    )
