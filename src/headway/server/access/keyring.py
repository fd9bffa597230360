"""The keys of an app: made, rotated, revoked; and whether a text is one of them, mostly from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from headway.errors import ConfigError
from headway.names import valid_name
from headway.server.access.caller import EVERYTHING, Role, Scope
from headway.server.access.keys import KeyRecord, make_key, make_key_id, prefix_of
from headway.server.access.stored_keys import (
    add_key,
    all_keys,
    key_by_name_or_id,
    keys_with_prefix,
    note_uses,
    replace_key,
)

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.server.store.database import Database

FRESH_MS: Final = 2000
"""How long a key may still be good in another server process after it was revoked."""
_MOST_KNOWN: Final = 10_000  # prefixes remembered: senders of nonsense must not fill the memory
_LONGEST_GRACE_MS: Final = 30 * 24 * 3600 * 1000


class Keyring:
    """Keys in the access database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """The database is open."""
        self._database = database
        self._clock = clock
        self._known: dict[str, tuple[int, list[KeyRecord]]] = {}  # by prefix, with when it was read
        self._any: tuple[int, bool] | None = None
        self._uses: dict[str, int] = {}

    async def find(self, text: str) -> KeyRecord | None:
        """Return the key that this text is, if it is good now."""
        prefix = prefix_of(text)
        if prefix is None:
            return None
        now = self._clock.now_ms()
        known = self._known.get(prefix)
        if known is None or not 0 <= now - known[0] < FRESH_MS:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[prefix] = (now, await keys_with_prefix(self._database, prefix))
        for record in known[1]:
            if record.accepts(text, now):
                self._uses[record.id] = now
                return record
        return None

    async def any(self) -> bool:
        """Tell whether there is a key that was not revoked: while there is none, a server on loopback asks for none."""
        now = self._clock.now_ms()
        if self._any is None or not 0 <= now - self._any[0] < FRESH_MS:
            self._any = (now, any(one.revoked_ms is None for one in await all_keys(self._database)))
        return self._any[1]

    async def list(self) -> list[KeyRecord]:
        """Return all keys, also those that are revoked or expired."""
        return await all_keys(self._database)

    async def get(self, named: str) -> KeyRecord | None:
        """Return the key of this id, prefix or name; ConfigError when several have the name."""
        found = await key_by_name_or_id(self._database, named)
        if len(found) > 1:
            there = ", ".join(f"{one.id} ({one.prefix})" for one in found)
            msg = f"several keys are called {named!r}: {there}; name one by its id"
            raise ConfigError(msg)
        return found[0] if found else None

    async def create(
        self,
        name: str,
        role: Role,
        *,
        by: str,
        scope: Scope = EVERYTHING,
        expires_ms: int | None = None,
        rate: int = 0,
    ) -> tuple[str, KeyRecord]:
        """Make a key; return its text, which is kept nowhere, and its record. ConfigError names what is wrong."""
        now = self._clock.now_ms()
        _check(name, scope, expires_ms, rate, now)
        fresh = make_key()
        record = KeyRecord(
            id=make_key_id(),
            name=name,
            prefix=fresh.prefix,
            digest=fresh.digest,
            role=role,
            scope=scope,
            created_ms=now,
            created_by=by,
            expires_ms=expires_ms,
            rate=rate,
        )
        await add_key(self._database, record)
        self._forget()
        return fresh.text, record

    async def rotate(self, record: KeyRecord, *, grace_ms: int) -> tuple[str, KeyRecord]:
        """Give the key a new secret; the present one is good for `grace_ms` longer. ConfigError for a revoked one."""
        if record.revoked_ms is not None:
            msg = f"key {record.prefix} is revoked; make a new one"
            raise ConfigError(msg)
        if not 0 <= grace_ms <= _LONGEST_GRACE_MS:
            msg = "grace: must be at least 0 and at most 30 days"
            raise ConfigError(msg)
        fresh = make_key()
        changed = structs.replace(
            record,
            prefix=fresh.prefix,
            digest=fresh.digest,
            former_prefix=record.prefix,
            former_digest=record.digest,
            former_until_ms=self._clock.now_ms() + grace_ms,
        )
        await replace_key(self._database, changed)
        self._forget()
        return fresh.text, changed

    async def revoke(self, record: KeyRecord) -> KeyRecord:
        """End the key, here at once, in other server processes within 2 s."""
        if record.revoked_ms is None:
            record = structs.replace(record, revoked_ms=self._clock.now_ms())
            await replace_key(self._database, record)
        self._forget()
        return record

    async def keep_uses(self) -> None:
        """Write down when keys were used."""
        uses, self._uses = self._uses, {}
        if uses:
            try:
                await note_uses(self._database, uses)
            except BaseException:
                self._uses = uses | self._uses
                raise

    def _forget(self) -> None:
        self._known.clear()
        self._any = None


def _check(name: str, scope: Scope, expires_ms: int | None, rate: int, now_ms: int) -> None:
    try:
        valid_name(name, "key")
        for queue in scope.queues:
            valid_name(queue, "queue")
        for task in scope.tasks:
            valid_name(task, "task")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if expires_ms is not None and expires_ms <= now_ms:
        msg = "expires: must be in the future"
        raise ConfigError(msg)
    if rate < 0:
        msg = f"rate: must be at least 0, got {rate}"
        raise ConfigError(msg)
