"""Keys in the access database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import bindparam, insert, or_, select, update

from headway.server.access.caller import Role, Scope
from headway.server.access.keys import KeyRecord
from headway.server.store.tables import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import RowMapping

    from headway.server.store.database import Database


async def add_key(database: Database, record: KeyRecord) -> None:
    """Keep a new key."""
    await database.write(insert(KEYS).values(app=database.app, **_columns(record)))


async def replace_key(database: Database, record: KeyRecord) -> None:
    """Keep a key as it is now, all but when it was used last."""
    columns = _columns(record)
    del columns["last_used_ms"]
    statement = update(KEYS).where(KEYS.c.app == database.app, KEYS.c.id == record.id).values(**columns)
    await database.write(statement)


async def all_keys(database: Database) -> list[KeyRecord]:
    """Return all keys, the oldest first."""
    found = await database.rows(
        select(KEYS).where(KEYS.c.app == database.app).order_by(KEYS.c.created_ms, KEYS.c.id)
    )
    return [_record(row) for row in found]


async def keys_with_prefix(database: Database, prefix: str) -> list[KeyRecord]:
    """Return the keys that a text with this prefix may be."""
    named = or_(KEYS.c.prefix == prefix, KEYS.c.former_prefix == prefix)
    return [
        _record(row) for row in await database.rows(select(KEYS).where(KEYS.c.app == database.app, named))
    ]


async def key_by_name_or_id(database: Database, named: str) -> list[KeyRecord]:
    """Return the keys that have this id, prefix or name; several may have one name."""
    named_so = or_(KEYS.c.id == named, KEYS.c.prefix == named, KEYS.c.name == named)
    return [
        _record(row) for row in await database.rows(select(KEYS).where(KEYS.c.app == database.app, named_so))
    ]


async def note_uses(database: Database, uses: Mapping[str, int]) -> None:
    """Keep when keys were used last, by their ids; another server may have kept a later instant already."""
    used, at = KEYS.c.last_used_ms, bindparam("at", type_=KEYS.c.last_used_ms.type)
    statement = (
        update(KEYS)
        .where(KEYS.c.app == database.app, KEYS.c.id == bindparam("key"), or_(used.is_(None), used < at))
        .values(last_used_ms=at)
    )
    await database.write(statement, [{"key": key, "at": at} for key, at in uses.items()])


def _columns(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "prefix": record.prefix,
        "name": record.name,
        "digest": record.digest,
        "former_prefix": record.former_prefix,
        "former_digest": record.former_digest,
        "former_until_ms": record.former_until_ms,
        "role": str(record.role),
        "queues": msgspec.json.encode(record.scope.queues).decode(),
        "tasks": msgspec.json.encode(record.scope.tasks).decode(),
        "rate": record.rate,
        "created_ms": record.created_ms,
        "created_by": record.created_by,
        "expires_ms": record.expires_ms,
        "revoked_ms": record.revoked_ms,
        "last_used_ms": record.last_used_ms,
    }


def _record(row: RowMapping) -> KeyRecord:
    names = tuple[str, ...]
    return KeyRecord(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        digest=bytes(row["digest"]),
        role=Role(row["role"]),
        scope=Scope(
            msgspec.json.decode(row["queues"], type=names), msgspec.json.decode(row["tasks"], type=names)
        ),
        rate=row["rate"],
        created_ms=row["created_ms"],
        created_by=row["created_by"],
        expires_ms=row["expires_ms"],
        revoked_ms=row["revoked_ms"],
        last_used_ms=row["last_used_ms"],
        former_prefix=row["former_prefix"],
        former_digest=None if row["former_digest"] is None else bytes(row["former_digest"]),
        former_until_ms=row["former_until_ms"],
    )
