"""Migrations as the control store keeps them: a document for each source, and a list of those.

Only the newest version of each is kept: it is written every other second. A migration that nobody has worked on for 30
days is forgotten, as is the oldest of more than ten.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headway.errors import BrokerUnavailableError, CodecError, HeadwayError
from headway.migrate.status import FORMAT, Migration

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from headway.brokers.base import ControlStore
    from headway.clock import Clock

    D = TypeVar("D")

_log: Final = logging.getLogger("headway.migrate")

LISTED: Final = "migrations"
"""The document that names the migrations."""
MAX_MIGRATIONS: Final = 10
KEPT_MS: Final = 30 * 86_400_000
"""How long a migration is kept after it was worked on last."""
MAX_BYTES: Final = 64 * 1024
"""Of the document of one migration."""
_TRIES: Final = 20
_FORGOTTEN: Final = b""


class StoredMigration(NamedTuple):
    """A migration as it stands. `now_ms` is the instant of reading by the clock of the store."""

    migration: Migration
    version: int
    now_ms: int


class _Listed(Struct, frozen=True):
    seen: dict[str, int] = {}  # when a command began on it last, by the store's clock
    format: int = FORMAT


class _Head(Struct, frozen=True):
    format: int = FORMAT


_decode_head: Final = msgspec.json.Decoder(_Head).decode
_decode: Final = msgspec.json.Decoder(Migration).decode
_decode_list: Final = msgspec.json.Decoder(_Listed).decode


def document_of(migration_id: str) -> str:
    """Return the name of a migration's document in the control store."""
    return f"migration:{migration_id}"


async def read_migration(control: ControlStore, migration_id: str) -> StoredMigration | None:
    """Read one; None: there is none, or it was forgotten. BrokerError, CodecError."""
    found = await control.read_control(document_of(migration_id))
    if found is None or found.body == _FORGOTTEN:
        return None
    now_ms = found.changed_ms + found.age_ms
    if found.age_ms > KEPT_MS:
        return None
    return StoredMigration(
        _decoded(found.body, _decode, f"the migration {migration_id}"), found.version, now_ms
    )


async def read_migrations(control: ControlStore) -> list[StoredMigration]:
    """Read all, those that were worked on last first; one that is damaged is left out. BrokerError, CodecError."""
    listed, _ = await _read_listed(control)
    known: list[StoredMigration] = []
    for one in listed.seen:
        try:
            found = await read_migration(control, one)
        except CodecError as error:
            _log.warning("a migration is left out: %s", error)
            continue
        if found is not None:
            known.append(found)
    return sorted(known, key=lambda one: -max((run.seen_ms for run in one.migration.runs), default=0))


async def change_migration(
    control: ControlStore,
    migration_id: str,
    edit: Callable[[Migration | None, int], Migration],
    clock: Clock,
) -> Migration:
    """Write what `edit` makes of it and of the present instant; of a lost race, of the newest one anew.

    BrokerError; CodecError when what is kept was written by a later Headway; HeadwayError when others change it all
    the time.
    """
    name = document_of(migration_id)
    for _ in range(_TRIES):
        found = await control.read_control(name)
        now_ms = clock.now_ms() if found is None else found.changed_ms + found.age_ms
        before = None
        if found is not None and found.body != _FORGOTTEN and found.age_ms <= KEPT_MS:
            before = _decoded(found.body, _decode, f"the migration {migration_id}")
        after = edit(before, now_ms)
        body = fitting(after)
        if await _written(control, name, body, 0 if found is None else found.version):
            return after
    msg = f"how the migration {migration_id} stands was not kept: others change it all the time"
    raise HeadwayError(msg)


async def list_migration(control: ControlStore, migration_id: str, now_ms: int) -> None:
    """Name it in the list, and forget those that are too old or too many; BrokerError, CodecError, HeadwayError."""
    for _ in range(_TRIES):
        listed, version = await _read_listed(control)
        seen = {**listed.seen, migration_id: now_ms}
        newest = sorted(seen, key=lambda one: -seen[one])
        kept = [one for one in newest if await _is_kept(control, one)][:MAX_MIGRATIONS]
        for one in newest:
            if one not in kept:
                await _forget(control, one)
        body = msgspec.json.encode(_Listed({one: seen[one] for one in kept}))
        if await _written(control, LISTED, body, version):
            return
    msg = "the list of migrations was not changed: others change it all the time; try again"
    raise HeadwayError(msg)


def fitting(migration: Migration) -> bytes:
    """Encode it within MAX_BYTES: what is named one by one goes first, numbers last."""
    body = msgspec.json.encode(migration)
    while len(body) > MAX_BYTES:
        smaller = _smaller(migration)
        if smaller == migration:
            break
        migration = smaller
        body = msgspec.json.encode(migration)
    return body


def _smaller(migration: Migration) -> Migration:
    if any(one.examples for one in migration.reasons):
        return replace(migration, reasons=tuple(replace(one, examples=()) for one in migration.reasons))
    if len(migration.reasons) + len(migration.repeating) > 1:
        return replace(
            migration,
            reasons=migration.reasons[: (len(migration.reasons) + 1) // 2],
            repeating=migration.repeating[: len(migration.repeating) // 2],
            more_repeating=migration.more_repeating + (len(migration.repeating) + 1) // 2,
        )
    runs = tuple(replace(one, stays=(), more_stays=one.more_stays + len(one.stays)) for one in migration.runs)
    if runs != migration.runs:
        return replace(migration, runs=runs)
    if len(migration.rows) > 1:
        return replace(migration, rows=migration.rows[: len(migration.rows) // 2])
    return replace(migration, runs=migration.runs[:1], words=())


async def _written(control: ControlStore, name: str, body: bytes, expected: int) -> bool:
    try:
        return await control.write_control(name, body, expected=expected, keep=1) is not None
    except BrokerUnavailableError:
        # The answer is lost, maybe not what was written: written again it would count the same jobs twice.
        found = await control.read_control(name)
        if found is not None and found.version == expected + 1 and found.body == body:
            return True
        raise


async def _is_kept(control: ControlStore, migration_id: str) -> bool:
    found = await control.read_control(document_of(migration_id))
    return found is None or (found.body != _FORGOTTEN and found.age_ms <= KEPT_MS)


async def _forget(control: ControlStore, migration_id: str) -> None:
    name = document_of(migration_id)
    found = await control.read_control(name)
    if found is not None and found.body != _FORGOTTEN:
        await _written(control, name, _FORGOTTEN, found.version)


async def _read_listed(control: ControlStore) -> tuple[_Listed, int]:
    found = await control.read_control(LISTED)
    if found is None:
        return _Listed(), 0
    return _decoded(found.body, _decode_list, "the list of migrations"), found.version


def _decoded(body: bytes, decode: Callable[[bytes], D], what: str) -> D:
    try:
        version = _decode_head(body).format
        if version != FORMAT:
            msg = f"{what} is kept in format {version}, this Headway knows {FORMAT}: upgrade it"
            raise CodecError(msg)
        return decode(body)
    except msgspec.MsgspecError as error:
        msg = f"what is kept of {what} is damaged: {error}"
        raise CodecError(msg) from error
