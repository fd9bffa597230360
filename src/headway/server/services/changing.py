"""Changing the priority or the due time of a job that waits.

No carrier has a verb for it. A carrier that can give waiting jobs away can do it in two steps: the job is withdrawn and
comes back, under its own id, with what is new. What is to become of it is kept in the access database before, so that
whoever finds it interrupted brings it back.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Struct, UnsetType, structs
from sqlalchemy import delete, insert, select

from headway.clock import from_ms, instant_ms
from headway.job import PRIORITY_MAX, PRIORITY_MIN, JobId, JobState
from headway.server.instants import Instant
from headway.server.services.problems import CannotError, ConflictError, InvalidError
from headway.server.store.tables import CHANGES

if TYPE_CHECKING:
    from headway.brokers.base import Mover, Store
    from headway.job import JobRecord
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

_REASON: Final = "changed: it comes back at once"
_WAITING: Final = (JobState.READY, JobState.SCHEDULED)
_INTERRUPTED_MS: Final = 15_000  # older than that, a change is nobody's any more


class JobChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be new of a job that waits; `due_at` null: now."""

    priority: int | UnsetType = UNSET
    due_at: Instant | UnsetType | None = UNSET


class Changing:
    """Changes waiting jobs."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def change(self, caller: Caller, job_id: JobId, change: JobChange) -> JobRecord:
        """Change a job that waits, and return it as it was.

        NotFoundError; ConflictError when it does not wait; CannotError when its carrier cannot; InvalidError.
        """
        priority, due_ms = _checked(change)
        name, record = await self._shared.one_visible(caller, job_id)
        mover = self._mover(name)
        if record.state not in _WAITING:
            msg = f"job {job_id} is {record.state}: only a job that waits can be changed"
            raise ConflictError(msg)
        if priority is None:
            priority = record.priority
        if isinstance(due_ms, UnsetType):
            due_ms = record.due_ms if record.state is JobState.SCHEDULED else None
        row = {"app": self._shared.database.app, "job": job_id, "carrier": name}
        await self._forget(job_id)
        await self._shared.database.write(
            insert(CHANGES).values(
                priority=priority, due_ms=due_ms, begun_ms=self._shared.app.clock.now_ms(), **row
            )
        )
        if not await self._made(self._shared.carriers[name], mover, job_id, priority, due_ms):
            await self._forget(job_id)
            msg = f"job {job_id} began or ended just now, or is bound to its carrier: it was not changed"
            raise ConflictError(msg)
        await self._forget(job_id)
        await self._shared.audit.note(
            caller,
            "jobs.change",
            f"job {job_id}",
            before={"priority": record.priority, "due_at": _instant(record.due_ms)},
            after={"priority": priority, "due_at": _instant(due_ms)},
        )
        return record

    async def finish_interrupted(self) -> int:
        """Bring back the jobs of changes that were interrupted; return how many there were."""
        limit = self._shared.app.clock.now_ms() - _INTERRUPTED_MS
        found = await self._shared.database.rows(
            select(CHANGES).where(CHANGES.c.app == self._shared.database.app, CHANGES.c.begun_ms < limit)
        )
        for row in found:
            job_id, name = JobId(row["job"]), row["carrier"]
            if name not in self._shared.carriers:
                continue
            (record,) = await self._shared.carriers[name].get([job_id])
            if record is not None and record.withdrawn and record.reason == _REASON:
                store = self._shared.carriers[name]
                await self._made(store, self._mover(name), job_id, row["priority"], row["due_ms"])
            await self._forget(job_id)
        return len(found)

    async def _made(
        self, store: Store, mover: Mover, job_id: JobId, priority: int, due_ms: int | None
    ) -> bool:
        (withdrawn,) = await mover.withdraw([job_id], _REASON)
        if withdrawn is None:
            return False
        new = structs.replace(withdrawn.as_new(), priority=priority, due_ms=due_ms)
        await store.enqueue([new])
        return True

    async def _forget(self, job_id: JobId) -> None:
        database = self._shared.database
        await database.write(delete(CHANGES).where(CHANGES.c.app == database.app, CHANGES.c.job == job_id))

    def _mover(self, name: str) -> Mover:
        mover = self._shared.carriers[name].capabilities.mover
        if mover is None:
            msg = f"carrier {name!r} cannot change a job that waits: cancel it, and enqueue it anew"
            raise CannotError(msg)
        return mover


def _checked(change: JobChange) -> tuple[int | None, int | UnsetType | None]:
    priority = None
    if not isinstance(change.priority, UnsetType):
        priority = change.priority
        if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
            msg = f"priority: must be from {PRIORITY_MIN} to {PRIORITY_MAX}, got {priority}"
            raise InvalidError(msg)
    if not isinstance(change.due_at, datetime):
        return priority, change.due_at
    try:
        return priority, instant_ms(change.due_at, "due_at")
    except (TypeError, ValueError) as error:
        raise InvalidError(str(error)) from error


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
