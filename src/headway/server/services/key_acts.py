"""API keys, as they are managed by the API: made, listed, rotated, revoked; each change is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headway.clock import from_ms, instant_ms
from headway.errors import ConfigError
from headway.server.access.caller import Role, Scope
from headway.server.instants import Instant
from headway.server.services.problems import InvalidError, NotFoundError
from headway.server.services.shared import check_everything

if TYPE_CHECKING:
    from datetime import datetime

    from headway.server.access.audit import Audit
    from headway.server.access.caller import Caller
    from headway.server.access.keyring import Keyring
    from headway.server.access.keys import KeyRecord


class Key(Struct, frozen=True, kw_only=True):
    """An API key, without its secret. `rate` is in requests a minute; 0: the server's own limit."""

    id: str
    name: str
    prefix: str
    role: Role
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    rate: int
    created_at: Instant
    created_by: str
    expires_at: Instant | None = None
    revoked_at: Instant | None = None
    last_used_at: Instant | None = None
    former_until: Instant | None = None


class MadeKey(Key, frozen=True, kw_only=True):
    """A key that was just made: `key` is its text, which is shown this once."""

    key: str


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: str
    role: Role
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    expires_at: Instant | None = None
    rate: int = 0


class KeyActs:
    """The keys of an app."""

    def __init__(self, keyring: Keyring, audit: Audit) -> None:
        self._keyring = keyring
        self._audit = audit

    async def list(self, caller: Caller) -> list[Key]:
        """Return all keys, the oldest first."""
        check_everything(caller, "keys")
        return [key_view(one) for one in await self._keyring.list()]

    async def get(self, caller: Caller, named: str) -> Key:
        """Return one by its id or prefix; NotFoundError."""
        return key_view(await self._record(caller, named))

    async def create(self, caller: Caller, wish: NewKey) -> MadeKey:
        """Make a key; InvalidError names what is wrong."""
        check_everything(caller, "keys")
        try:
            expires_ms = None if wish.expires_at is None else instant_ms(wish.expires_at, "expires_at")
            text, record = await self._keyring.create(
                wish.name,
                wish.role,
                by=caller.who,
                scope=Scope(wish.queues, wish.tasks),
                expires_ms=expires_ms,
                rate=wish.rate,
            )
        except (ConfigError, TypeError, ValueError) as error:
            raise InvalidError(str(error)) from error
        await self._audit.note(caller, "keys.create", f"key {record.id}", after=key_view(record))
        return _made(text, record)

    async def rotate(self, caller: Caller, named: str, *, grace_ms: int) -> MadeKey:
        """Give it a new secret; the present one is good for `grace_ms` longer. NotFoundError, InvalidError."""
        before = await self._record(caller, named)
        try:
            text, record = await self._keyring.rotate(before, grace_ms=grace_ms)
        except ConfigError as error:
            raise InvalidError(str(error)) from error
        await self._audit.note(
            caller, "keys.rotate", f"key {record.id}", before=key_view(before), after=key_view(record)
        )
        return _made(text, record)

    async def revoke(self, caller: Caller, named: str) -> Key:
        """End it, in all server processes within 2 s. NotFoundError."""
        before = await self._record(caller, named)
        record = await self._keyring.revoke(before)
        await self._audit.note(
            caller, "keys.revoke", f"key {record.id}", before=key_view(before), after=key_view(record)
        )
        return key_view(record)

    async def _record(self, caller: Caller, named: str) -> KeyRecord:
        check_everything(caller, "keys")
        record = await self._keyring.get(named)
        if record is None:
            msg = f"there is no key {named!r}"
            raise NotFoundError(msg)
        return record


def key_view(record: KeyRecord) -> Key:
    """Return a key as others see it."""
    return Key(**_fields(record))


def _made(text: str, record: KeyRecord) -> MadeKey:
    return MadeKey(key=text, **_fields(record))


def _fields(record: KeyRecord) -> dict[str, Any]:
    def at(ms: int | None) -> datetime | None:
        return None if ms is None else from_ms(ms)

    return {
        "id": record.id,
        "name": record.name,
        "prefix": record.prefix,
        "role": record.role,
        "queues": record.scope.queues,
        "tasks": record.scope.tasks,
        "rate": record.rate,
        "created_at": from_ms(record.created_ms),
        "created_by": record.created_by,
        "expires_at": at(record.expires_ms),
        "revoked_at": at(record.revoked_ms),
        "last_used_at": at(record.last_used_ms),
        "former_until": at(record.former_until_ms),
    }
