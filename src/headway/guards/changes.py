"""How what is kept of a job is changed: the three steps that all of the guard goes by.

Read what is kept, ask a step what follows, swap it in by its version; when somebody else was faster, again. What this
process holds itself, it knows without reading, and puts it back when the store has lost it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.errors import BrokerRefusedError, BrokerUnavailableError, CodecError
from headway.guards.document import Document, entry_key, from_entry, to_entry, to_record
from headway.guards.held import Held, Known
from headway.guards.reservations import Reservations
from headway.guards.storeclock import StoreClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.base import Retention
    from headway.clock import Clock
    from headway.guards.base import Entry, GuardStore
    from headway.job import JobId, JobRecord, Lease

_log = logging.getLogger("headway.guard")

TRIES: Final = 20
"""Swaps that somebody else was faster at, before the store is taken for unusable."""


class Settled(Struct, frozen=True):
    """What a change came to. `document` is what is kept now; None: nothing is known of the job.

    `before` is what was kept until then, where it was changed. `repeated`: not applied now, but by an earlier call that
    failed halfway.
    """

    applied: bool
    document: Document | None
    before: Document | None = None
    repeated: bool = False


class Changes:
    """Changes of the entries of one store."""

    def __init__(self, store: GuardStore, clock: Clock, retention: Retention) -> None:
        self._store = store
        self.clock = StoreClock(store, clock)
        self._retention = retention
        self.held = Held()
        self.reservations = Reservations(store, clock)

    async def change(
        self, job_id: JobId, step: Callable[[Document | None], Document | None], *, lease: Lease | None = None
    ) -> Settled:
        """Change what is kept of a job; not applied when `step` returns None, which is also checked on what is new.

        `lease` is that of the job's holder, when it is the holder who changes it.
        """
        held = self.held.find(lease)
        there = await self.read(job_id) if held is None else held.entry
        trusted = held is not None
        for _ in range(TRIES):
            document = None if there is None else self.document_of(there)
            if document is None and not trusted:
                document = self.held.lost(lease, there, now_ms=self.now_ms())
            changed = step(document)
            if changed is not None:
                entry = self.entry(changed, 1 if there is None else there.version + 1)
                if await self._put(entry):
                    if lease is not None and self.held.find(lease) is not None:
                        self.held.keep(lease, Known(entry, changed), now_ms=self.now_ms())
                    return Settled(applied=True, document=changed, before=document)
            elif not trusted:
                return Settled(applied=False, document=document)
            there, trusted = await self.read(job_id), False
        raise self.contended(job_id)

    async def _put(self, entry: Entry) -> bool:
        """Keep the entry in place of the version before; the first one where there is none."""
        now = self.now_ms()
        if entry.version > 1:
            return await self._store.swap(entry, now_ms=now)
        there = await self._store.insert(entry, now_ms=now)
        return there is None or there.data == entry.data

    async def read(self, job_id: JobId) -> Entry | None:
        """Return the entry of a job."""
        [entry] = await self._store.read([entry_key(job_id)], now_ms=self.now_ms())
        return entry

    async def documents(self, ids: Sequence[JobId]) -> list[Document | None]:
        """Return what is kept of jobs, tombstones included."""
        if not ids:
            return []
        entries = await self._store.read([entry_key(job_id) for job_id in ids], now_ms=self.now_ms())
        return [None if entry is None else self.document_of(entry) for entry in entries]

    def document_of(self, entry: Entry) -> Document | None:
        """Read an entry; a damaged one is logged and counts as not there."""
        try:
            return from_entry(entry)
        except CodecError as error:
            _log.warning("%s", error)
            return None

    def record(self, document: Document | None) -> JobRecord | None:
        """Return what people see of it."""
        if document is None:
            return None
        return to_record(document, now_ms=self.now_ms(), retention=self._retention)

    def entry(self, document: Document, version: int) -> Entry:
        """Return the entry that keeps it from now on."""
        return to_entry(document, version, now_ms=self.now_ms(), retention=self._retention)

    def now_ms(self) -> int:
        """Return the instant of the guard's clock."""
        return self.clock.now_ms()

    def contended(self, job_id: JobId) -> BrokerUnavailableError:
        """Return the error of having been too slow each time."""
        return BrokerUnavailableError(
            f"job {job_id}: its entry in the guard's store changed {TRIES} times while it was to be changed here"
        )

    async def keep_key(self, document: Document | None) -> None:
        """Hold the idempotency key as long as the record, now that it is known how long that is.

        Whoever ended the job may have died before it came to this: so each that finds it ended does the same.
        """
        if document is not None and document.key is not None:
            forget_ms = self.entry(document, 1).forget_ms
            if document.state.terminal or document.attempt == 0:
                try:
                    await self.reservations.keep_until(document.key, document.id, forget_ms)
                except BrokerRefusedError as error:
                    _log.warning(
                        "job %s: its idempotency key is held for its usual time: %s", document.id, error
                    )
