"""Jobs that their carrier does not have yet: shown, waited for and cancelled on the host that keeps them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.brokers.base import CancelResult
from headway.errors import BrokerUnavailableError, SpoolError
from headway.job import JobRecord, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Store
    from headway.job import JobId, NewJob
    from headway.routing.failover.entries import Entry
    from headway.routing.failover.spool import Spool

IN_SPOOL: Final = "in the spool of this host"
"""The reason in the record of a job that its carrier does not have yet."""
_LOOK_S: Final = (
    0.2  # from one look to the next, of somebody who waits for the end of a job that is in the spool
)
_EXPIRES_MS: Final = 600_000
"""So long, at most, it takes from a cancelled job's enqueue at its carrier to its end there."""
_DUE_MS: Final = 2 * _EXPIRES_MS


class Waiting:
    """The jobs of a spool beside those of one carrier."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store = store
        self._spool = spool
        self._watch = spool.watch

    async def get(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return the records; those of jobs in the spool too."""
        if not self._watch.anything:
            return await self._store.get(ids)
        records: list[JobRecord | None] = [None] * len(ids)
        missed: BrokerUnavailableError | None = None
        try:
            records = await self._store.get(ids)
        except BrokerUnavailableError as error:
            missed = error
        unknown = [one for one, record in zip(ids, records, strict=True) if record is None]
        with contextlib.suppress(SpoolError):
            here = {entry.job.id: entry for entry in await self._spool.find(unknown)}
            records = [
                record_of(here[one]) if record is None and one in here else record
                for one, record in zip(ids, records, strict=True)
            ]
        if missed is not None and None in records:
            raise missed
        return records

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait for the job's end; first until it has left the spool."""
        began = time.monotonic()
        while self._watch.anything and (entries := await self._spool.find([job_id])):
            record = record_of(entries[0])
            left_s = _LOOK_S if timeout_ms is None else timeout_ms / 1000 - (time.monotonic() - began)
            if left_s <= 0 or record.state.terminal:
                return record
            await asyncio.sleep(min(_LOOK_S, left_s))
        if timeout_ms is not None:
            timeout_ms = max(0, timeout_ms - round((time.monotonic() - began) * 1000))
        return await self._store.wait_finished(job_id, timeout_ms)

    async def cancel(self, ids: Sequence[JobId], reason: str) -> list[CancelResult]:
        """Cancel jobs. Those that were handed to nobody are cancelled at once, and durably, whoever is away.

        One that the carrier may have, though it did not say so, counts as running until it is asked: it is cancelled
        there before anything else becomes of it. BrokerUnavailableError when others are asked for and it is away.
        """
        here: Mapping[JobId, bool] = {}
        if self._watch.anything:
            here = await self._spool.cancel(ids, reason)
        asked = [one for one in ids if here.get(one) is not False]
        told: dict[JobId, JobState | None] = {}
        try:
            if asked:
                told = {one.id: one.state for one in await self._store.cancel(asked, reason)}
        except BrokerUnavailableError:
            if not here.keys() >= set(asked):
                raise
        return [CancelResult(one, told.get(one) or _as_cancelled(here.get(one))) for one in ids]


def _as_cancelled(bound: bool | None) -> JobState | None:  # noqa: FBT001 - None: it is not in the spool
    if bound is None:
        return None
    return JobState.RUNNING if bound else JobState.CANCELLED


def record_of(entry: Entry) -> JobRecord:
    """Return the record of a job that waits in the spool."""
    job = entry.job
    state, reason = JobState.READY if job.due_ms is None else JobState.SCHEDULED, entry.parked or IN_SPOOL
    if entry.cancelled is not None and entry.tried_ms is None:
        state, reason = JobState.CANCELLED, entry.cancelled
    return JobRecord(
        id=job.id,
        task=job.task,
        queue=job.queue,
        state=state,
        priority=job.priority,
        payload=job.payload,
        due_ms=job.due_ms,
        expires_ms=job.expires_ms,
        key=job.key,
        unique=job.unique,
        reason=reason,
        cancel_requested=entry.cancelled is not None,
    )


def to_send(entry: Entry, now_ms: int) -> NewJob:
    """Return what the carrier is to get: of a cancelled job one that never runs, whose record will say what it was.

    It is due later than it expires, so nobody runs it before it is cancelled there; and it replaces no unique job.
    """
    if entry.cancelled is None:
        return entry.job
    return replace(entry.job, due_ms=now_ms + _DUE_MS, expires_ms=now_ms + _EXPIRES_MS, unique=None)


async def cancel_there(store: Store, entries: Sequence[Entry]) -> None:
    """Cancel at their carrier those of the jobs that are to be cancelled. BrokerError."""
    by_reason: dict[str, list[JobId]] = {}
    for entry in entries:
        if entry.cancelled is not None:
            by_reason.setdefault(entry.cancelled, []).append(entry.job.id)
    for reason, ids in by_reason.items():
        await store.cancel(ids, reason)
