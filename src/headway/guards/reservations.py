"""Who holds an idempotency key: a reservation hands out the id under which the job is to be created.

The reservation is written before the task is created, so a producer may die in between. Whoever comes next is told the
reserved id and creates that very job: the name of its task makes sure that it exists once, whoever was first.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headway.errors import CodecError
from headway.guards.base import Entry, read_data
from headway.guards.document import ABANDONED_MS, REMOVED_GROUP, entry_key
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.clock import Clock
    from headway.guards.base import GuardStore
    from headway.job import NewJob

_log = logging.getLogger("headway.guard")

_GROUP: Final = ":key"


class Holder(Struct, frozen=True):
    """The job that holds a key, and the queue that its task is in."""

    id: JobId
    queue: str
    priority: int


class Reserved(Struct, frozen=True):
    """`holder` is to be created; `known`: it was delivered already, or ended, so it is a duplicate for sure."""

    holder: Holder
    known: bool


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Holder).decode


def _holder(entry: Entry) -> Holder | None:
    """Return who holds a key; None: its entry is damaged, and counts as not there."""
    try:
        return read_data(entry, _decode)
    except CodecError as error:
        _log.warning("%s; its idempotency key is free", error)
        return None


class Reservations:
    """The idempotency keys of an app."""

    def __init__(self, store: GuardStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def reserve(self, job: NewJob, key: str) -> Reserved:
        """Reserve the key for this job, or tell who holds it."""
        now = self._clock.now_ms()
        own = Holder(job.id, job.queue, job.priority)
        entry = Entry(
            key=_entry_key(key),
            version=1,
            group=_GROUP,
            tag="",
            changed_ms=now,
            forget_ms=max(now, job.due_ms or 0) + ABANDONED_MS,
            data=_encode(own),
        )
        while True:
            there = await self._store.insert(entry, now_ms=now)
            if there is None:
                return Reserved(own, known=False)
            holder = _holder(there)
            if holder is not None:
                if holder.id == own.id:
                    return Reserved(own, known=False)
                [known] = await self._store.read([entry_key(holder.id)], now_ms=now)
                if known is None or known.group != REMOVED_GROUP:
                    return Reserved(holder, known=known is not None)
            await self._store.delete(there.key, there.version)

    async def find(self, keys: Sequence[str | None]) -> list[Holder | None]:
        """Return who has reserved the keys; whether its job exists is another matter. One command."""
        wanted = {key: _entry_key(key) for key in keys if key is not None}
        if not wanted:
            return [None] * len(keys)
        entries = await self._store.read(list(wanted.values()), now_ms=self._clock.now_ms())
        found = {
            key: None if entry is None else _holder(entry) for key, entry in zip(wanted, entries, strict=True)
        }
        return [None if key is None else found[key] for key in keys]

    async def free(self, key: str, job_id: JobId) -> None:
        """Free the key if this job holds it."""
        there = await self._held_by(key, job_id)
        if there is not None:
            await self._store.delete(there.key, there.version)

    async def keep_until(self, key: str, job_id: JobId, forget_ms: int | None) -> None:
        """Let go of the key when the record of its job goes."""
        there = await self._held_by(key, job_id)
        if there is not None and there.forget_ms != forget_ms:
            now = self._clock.now_ms()
            later = replace(there, version=there.version + 1, changed_ms=now, forget_ms=forget_ms)
            await self._store.swap(later, now_ms=now)

    async def _held_by(self, key: str, job_id: JobId) -> Entry | None:
        [there] = await self._store.read([_entry_key(key)], now_ms=self._clock.now_ms())
        holder = None if there is None else _holder(there)
        return there if holder is not None and holder.id == job_id else None


def _entry_key(key: str) -> str:
    return "key/" + hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
