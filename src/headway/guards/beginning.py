"""How a delivered job begins: its lease is taken in the store, or there is a reason why there is nothing to run.

What the store's answers mean is decided here: no answer leaves a lease in doubt (see `doubts`); a definite no to what
is to be kept of one job ends that job in the dead-letter state, while a store that refuses everything counts as away.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.codec import encode_history
from headway.errors import BrokerRefusedError, BrokerUnavailableError, CodecError
from headway.guards import transitions
from headway.guards.base import Entry
from headway.guards.changes import TRIES
from headway.guards.document import fresh, from_entry
from headway.guards.doubts import Doubts
from headway.guards.held import Known
from headway.guards.refusals import add_refusal
from headway.guards.transitions import Begun, Behind, Busy, Complete
from headway.job import AttemptError, Delivery, JobState, Lease
from headway.storage.redis.replies import ServerRefusesError

if TYPE_CHECKING:
    from headway.guards.base import GuardStore
    from headway.guards.changes import Changes
    from headway.guards.document import Document, PushedJob
    from headway.job import WorkerId

_log = logging.getLogger("headway.guard")


class Started(Struct, frozen=True):
    """This delivery runs the job."""

    delivery: Delivery


class _Put(Struct, frozen=True):
    """Whether an entry was kept; else what is there instead."""

    kept: bool
    there: Entry | None = None


class Beginning:
    """Takes leases."""

    def __init__(self, store: GuardStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self.doubts = Doubts(changes)

    async def begin(
        self, pushed: PushedJob, *, worker: WorkerId, lease_ms: int
    ) -> Started | Busy | Complete | Behind:
        """Take the lease of a delivered job, or say why there is nothing to run."""
        job_id = pushed.job.id
        known: Entry | None = None
        await self._changes.clock.check()
        for _ in range(TRIES):
            document = None if known is None else await self._read(pushed, known)
            if document is not None and transitions.is_over(document, self._changes.now_ms()):
                await self._changes.clock.confirm()
            now = self._changes.now_ms()
            if known is not None and document is None:
                known = await self._changes.read(job_id)
                continue
            decision = transitions.begin(
                document, pushed, worker=worker, now_ms=now, lease_ms=lease_ms, unused=self.doubts.of(job_id)
            )
            begun: Started | Busy | Complete | Behind | _Put = (
                await self._take(
                    decision.document, document or fresh(pushed, JobState.READY), known, pushed.job.due_ms
                )
                if isinstance(decision, Begun)
                else decision
            )
            if isinstance(begun, _Put):
                known = begun.there
                continue
            if isinstance(begun, Complete):
                await self._changes.keep_key(begun.document)
            if not isinstance(begun, Busy):
                self.doubts.clear(job_id)
            return begun
        raise self._changes.contended(job_id)

    async def _take(
        self, begun: Document, before: Document, known: Entry | None, due_ms: int | None
    ) -> Started | Complete | _Put:
        """Keep that it runs; Complete: the store refuses that, it has failed; _Put: somebody else was faster."""
        now = self._changes.now_ms()
        assert begun.worker is not None  # noqa: S101 - for the type checkers
        entry = self._changes.entry(begun, 1 if known is None else known.version + 1)
        try:
            put = await self._put(entry)
        except BrokerUnavailableError:
            self.doubts.add(begun.id, begun.worker)
            raise
        except ServerRefusesError:
            raise
        except BrokerRefusedError as error:
            put, ended = await self._end_refused(before, known, error)
            return Complete(ended) if put.kept else put
        if not put.kept:
            return put
        delivery = _delivery(begun, begun.worker, due_ms)
        self._changes.held.keep(delivery.lease, Known(entry, begun), now_ms=now)
        return Started(delivery)

    async def _put(self, entry: Entry) -> _Put:
        """Keep an entry in place of the version before; the first one where there is none."""
        now = self._changes.now_ms()
        if entry.version > 1:
            kept = await self._store.swap(entry, now_ms=now)
            return _Put(kept, None if kept else (await self._store.read([entry.key], now_ms=now))[0])
        there = await self._store.insert(entry, now_ms=now)
        return _Put(there is None or there.data == entry.data, there)

    async def _end_refused(
        self, document: Document, known: Entry | None, error: BrokerRefusedError
    ) -> tuple[_Put, Document]:
        """Keep in the dead-letter state, as small as it takes, what the store does not take as a running job.

        The error goes on when that is refused as well: then it is not for this job that the store says no.
        """
        now = self._changes.now_ms()
        history = add_refusal(document, error, now_ms=now)
        for whole in (True, False):
            ended = transitions.refused(document, history, now_ms=now, whole=whole)
            try:
                put = await self._put(self._changes.entry(ended, 1 if known is None else known.version + 1))
            except BrokerRefusedError as again:
                if isinstance(again, ServerRefusesError) or not whole:
                    raise
                continue
            if put.kept:
                _log.error("job %s goes to the dead-letter state without having run: %s", document.id, error)
            return put, ended
        raise error  # never reached: the last try returns or raises

    async def _read(self, pushed: PushedJob, known: Entry) -> Document | None:
        """Read an entry; None: it is damaged, and was changed while that was to be put down."""
        try:
            return from_entry(known)
        except CodecError as error:
            return await self._reject_damaged(pushed, known, error)

    async def _reject_damaged(self, pushed: PushedJob, there: Entry, error: CodecError) -> Document | None:
        """Keep a job whose entry cannot be read in the dead-letter state; None: the entry has changed meanwhile."""
        now = self._changes.now_ms()
        history = encode_history([AttemptError(1, now, "CodecError", str(error))])
        document = transitions.damaged(pushed, history, now_ms=now)
        if not await self._store.swap(self._changes.entry(document, there.version + 1), now_ms=now):
            return None
        _log.error("job %s goes to the dead-letter state: %s", pushed.job.id, error)
        return document


def _delivery(document: Document, worker: WorkerId, due_ms: int | None) -> Delivery:
    return Delivery(
        lease=Lease(document.id, worker, document.epoch),
        task=document.task,
        queue=document.queue,
        payload=document.payload,
        priority=document.priority,
        attempt=document.attempt,
        crashes=document.crashes,
        expires_ms=document.expires_ms,
        history=document.history,
        cancel_requested=document.cancel_requested,
        due_ms=due_ms if document.attempt == 1 else None,
    )
