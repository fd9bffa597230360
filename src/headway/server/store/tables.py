"""The tables of the access database. All rows are of one app; instants are milliseconds since 1970 UTC.

They are made where they are missing. A later Headway adds columns that may be null and tables, and changes no meaning,
so that servers of two versions can share them while one replaces the other.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

METADATA: Final = MetaData()
_Sequence: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows in INTEGER columns only

KEYS: Final = Table(
    "headway_key",
    METADATA,
    Column("app", String(200), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("prefix", String(32), nullable=False),  # what a key begins with: by it its row is found
    Column("name", String(200), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("former_prefix", String(32)),  # of before the last rotation
    Column("former_digest", LargeBinary(32)),
    Column("former_until_ms", BigInteger),
    Column("role", String(16), nullable=False),
    Column("queues", Text, nullable=False),  # JSON lists; empty: all
    Column("tasks", Text, nullable=False),
    Column("rate", Integer, nullable=False),  # requests a minute; 0: the server's own limit
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("last_used_ms", BigInteger),
    Index("headway_key_prefix", "app", "prefix"),
)

AUDIT: Final = Table(
    "headway_audit",
    METADATA,
    Column("number", _Sequence, primary_key=True, autoincrement=True),
    Column("app", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("address", String(64), nullable=False),
    Column("act", String(64), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("before", Text, nullable=False),  # JSON
    Column("after", Text, nullable=False),
    Index("headway_audit_subject", "app", "subject"),
)

REPLAYS: Final = Table(
    "headway_replay",
    METADATA,
    Column("app", String(200), primary_key=True),
    Column("who", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", LargeBinary(32), nullable=False),  # of method, path and body
    Column("begun_ms", BigInteger, nullable=False),
    Column("status", Integer),  # null while the request is under way
    Column("headers", Text),
    Column("body", LargeBinary),
)

ACTS: Final = Table(
    "headway_act",
    METADATA,
    Column("app", String(200), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("act", String(16), nullable=False),
    Column("query", Text, nullable=False),  # JSON
    Column("who", String(200), nullable=False),
    Column("scope", Text, nullable=False),  # JSON: of whoever asked
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("matched", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("passed_over", BigInteger, nullable=False),
    Column("cursor", Text),
    Column("counted", Integer, nullable=False),
    Column("dry_run", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("holder", String(64), nullable=False),
    Column("held_until_ms", BigInteger, nullable=False),
)

TIMERS: Final = Table(
    "headway_timer",  # queues that are paused until an instant
    METADATA,
    Column("app", String(200), primary_key=True),
    Column("queue", String(200), primary_key=True),
    Column("resume_ms", BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
)

CHANGES: Final = Table(
    "headway_change",  # of waiting jobs, that were begun and may have been interrupted
    METADATA,
    Column("app", String(200), primary_key=True),
    Column("job", String(32), primary_key=True),
    Column("carrier", String(64), nullable=False),
    Column("priority", Integer),
    Column("due_ms", BigInteger),
    Column("begun_ms", BigInteger, nullable=False),
)

WATCHES: Final = Table(
    "headway_watch",  # since when events are watched without a pause, and how far
    METADATA,
    Column("app", String(200), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("places", Text, nullable=False),
)
