"""The tables of the records. On PostgreSQL they lie in a schema of the app's own, on SQLite in a file of its own.

The id of a job sorts by time, so it is the order of all lists, and what a time of enqueueing is searched by.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, text

METADATA: Final = MetaData()

# By bytes, not by the rules of a language: ids are compared as Python compares them, on every server.
_ID: Final = String(20, collation="C").with_variant(String(20), "sqlite")

JOB: Final = Table(
    "job",
    METADATA,
    Column("id", _ID, primary_key=True),
    Column("task", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("due_ms", BigInteger),
    Column("expires_ms", BigInteger),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("removed_ms", BigInteger),
    Column("worker", Text),
    Column("key", Text),
    Column("reason", Text, nullable=False),
    Column("progress", Float),
    Column("progress_message", Text, nullable=False),
    Column("arguments", Text),  # JSON, as are the next two
    Column("headers", Text),
    Column("tags", Text),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_group", Text),
    Column("route_version", BigInteger),
    Column("first_carrier", Text, nullable=False),
    Column("logs", Text),  # JSON
)
Index("job_task", JOB.c.task, JOB.c.id)
Index("job_queue", JOB.c.queue, JOB.c.id)
Index("job_carrier", JOB.c.carrier, JOB.c.id)
Index("job_state", JOB.c.state, JOB.c.id)
Index(
    "job_error",
    JOB.c.error_group,
    JOB.c.id,
    postgresql_where=JOB.c.error_group.is_not(None),
    sqlite_where=JOB.c.error_group.is_not(None),
)
# The jobs that are looked for are seldom those that succeeded, which are nearly all.
_NOT_SUCCEEDED: Final = JOB.c.state != text("'succeeded'")
Index("job_state_task", JOB.c.state, JOB.c.task, JOB.c.id, postgresql_where=_NOT_SUCCEEDED)
Index("job_state_queue", JOB.c.state, JOB.c.queue, JOB.c.id, postgresql_where=_NOT_SUCCEEDED)
Index("job_ended", JOB.c.state, JOB.c.finished_ms, JOB.c.id, postgresql_where=_NOT_SUCCEEDED)
DEAD: Final = JOB.c.state == text("'failed'")
"""In the dead-letter state, as its index has it."""
Index("job_dead", JOB.c.error_group, JOB.c.id, postgresql_where=DEAD, sqlite_where=DEAD)
Index("job_finished", JOB.c.finished_ms, JOB.c.id)

EXECUTION: Final = Table(
    "execution",
    METADATA,
    Column("job_id", _ID, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("carrier", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text),
    Column("due_ms", BigInteger),
    Column("started_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("outcome", Text),
    Column("superseded_ms", BigInteger),
    Column("error_type", Text),
    Column("error_message", Text),
    Column("error_traceback", Text),
    Column("error_group", Text),
)

HAPPENING: Final = Table(
    "happening",
    METADATA,
    Column("job_id", _ID, primary_key=True),
    Column("at_ms", BigInteger, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("carrier", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("worker", Text),
    Column("detail", Text, nullable=False),
)

TERM: Final = Table(
    "term",
    METADATA,
    Column("term", BigInteger, primary_key=True, autoincrement=False),
    Column("job_id", _ID, primary_key=True),
    sqlite_with_rowid=False,
)
Index("term_job", TERM.c.job_id)

ERROR_GROUP: Final = Table(
    "error_group",
    METADATA,
    Column("fingerprint", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)
Index("error_group_last", ERROR_GROUP.c.last_ms)

FEED: Final = Table(
    "feed",
    METADATA,
    Column("carrier", Text, primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("gaps", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

NOTE: Final = Table(
    "note",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Small facts about the records themselves: whose they are."""
