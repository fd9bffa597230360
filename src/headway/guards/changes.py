"""How what is kept of a job is changed: the three steps that all of the guard goes by.

Read what is kept, ask a step what follows, swap it in by its version; when somebody else was faster, again. What this
process holds itself, it knows without reading.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.errors import BrokerUnavailableError, CodecError
from headway.guards.document import Document, entry_key, from_entry, to_entry, to_record
from headway.guards.reservations import Reservations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.brokers.base import Retention
    from headway.clock import Clock
    from headway.guards.base import Entry, GuardStore
    from headway.job import JobId, JobRecord

_log = logging.getLogger("headway.guard")

TRIES: Final = 20
"""Swaps that somebody else was faster at, before the store is taken for unusable."""


class Settled(Struct, frozen=True):
    """What an outcome came to. `document` is what is kept now; None: nothing is known of the job."""

    applied: bool
    document: Document | None


class Changes:
    """Changes of the entries of one store. `held` are those of the jobs that run here."""

    def __init__(self, store: GuardStore, clock: Clock, retention: Retention) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention
        self.held: dict[JobId, Entry] = {}
        self.reservations = Reservations(store, clock)

    async def change(self, job_id: JobId, step: Callable[[Document | None], Document | None]) -> Settled:
        """Change what is kept of a job; not applied when `step` returns None, which is also checked on what is new."""
        known = self.held.get(job_id)
        trusted = known is not None
        if known is None:
            known = await self.read(job_id)
        for _ in range(TRIES):
            document = None if known is None else self.document_of(known)
            changed = step(document)
            if changed is None or known is None:
                if trusted:
                    known, trusted = await self.read(job_id), False
                    continue
                return Settled(applied=False, document=document)
            entry = self.entry(changed, known.version + 1)
            if await self._store.swap(entry, now_ms=self.now_ms()):
                if job_id in self.held:
                    self.held[job_id] = entry
                return Settled(applied=True, document=changed)
            known, trusted = await self.read(job_id), False
        raise self.contended(job_id)

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
        return self._clock.now_ms()

    def contended(self, job_id: JobId) -> BrokerUnavailableError:
        """Return the error of having been too slow each time."""
        return BrokerUnavailableError(
            f"job {job_id}: its entry in the guard's store changed {TRIES} times while it was to be changed here"
        )

    async def keep_key(self, document: Document | None) -> None:
        """Hold the idempotency key as long as the record, now that it is known how long that is."""
        if document is not None and document.key is not None:
            forget_ms = self.entry(document, 1).forget_ms
            if document.state.terminal or document.attempt == 0:
                await self.reservations.keep_until(document.key, document.id, forget_ms)
