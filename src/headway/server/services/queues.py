"""Queues: counted, paused (also until an instant), resumed, drained, cleaned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from sqlalchemy import delete, insert, select

from headway.clock import from_ms, instant_ms
from headway.job import JobState
from headway.names import valid_name
from headway.server.instants import Instant
from headway.server.services.problems import InvalidError, NotFoundError
from headway.server.services.shared import check_queue, check_whole_queue
from headway.server.store.tables import TIMERS

if TYPE_CHECKING:
    from datetime import datetime

    from headway.brokers.base import QueueCounts
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

MOST_CLEANED: Final = 10_000
"""Jobs that one call cleans away."""


class Queue(Struct, frozen=True, kw_only=True):
    """A queue: its jobs by state, and since when its oldest ready job waits.

    `paused_until` is when the server resumes it; null where it is paused until somebody does. `carriers` has the counts
    of each carrier, where the app has several.
    """

    name: str
    paused: bool
    paused_until: Instant | None = None
    counts: dict[JobState, int]
    oldest_ready_at: Instant | None = None
    oldest_ready_age_ms: int | None = None
    declared: bool
    carriers: dict[str, dict[JobState, int]]


class Emptied(Struct, frozen=True):
    """How many jobs were removed. `more`: there may be others; the same call again removes them."""

    removed: int
    more: bool = False


class Queues:
    """The queues of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def list(self, caller: Caller) -> list[Queue]:
        """Return the queues that hold a job or are paused, and those of the tasks, sorted by name."""
        declared = set(self._shared.app.queues)
        by_carrier = {
            name: {one.queue: one for one in await store.counts()}
            for name, store in self._shared.carriers.items()
        }
        names = declared.union(*(set(counts) for counts in by_carrier.values()))
        timers = await self._timers()
        now_ms = self._shared.app.clock.now_ms()
        return [
            _queue(
                name, {at: counts.get(name) for at, counts in by_carrier.items()}, timers, declared, now_ms
            )
            for name in sorted(names)
            if caller.scope.has_queue(name)
        ]

    async def get(self, caller: Caller, name: str) -> Queue:
        """Return one queue; NotFoundError when it holds no job, is not paused, and no task names it."""
        check_queue(caller, name)
        for one in await self.list(caller):
            if one.name == name:
                return one
        msg = f"there is no queue {name!r}: it holds no job, is not paused, and no task declares it"
        raise NotFoundError(msg)

    async def pause(self, caller: Caller, name: str, until: datetime | None = None) -> Queue:
        """Hand out no more of its jobs, until it is resumed, or until an instant; running ones go on. InvalidError."""
        check_whole_queue(caller, checked_queue(name))
        until_ms = self._checked_until(until)
        before = await self._state(name)
        await self._set_timer(name, until_ms, caller)
        await self._shared.carrier.pause(name)
        after = {"paused": True, "until": until}
        await self._shared.audit.note(caller, "queues.pause", f"queue {name}", before=before, after=after)
        return await self._now(caller, name)

    async def resume(self, caller: Caller, name: str) -> Queue:
        """Hand out its jobs again."""
        check_whole_queue(caller, checked_queue(name))
        before = await self._state(name)
        await self._set_timer(name, None, caller)
        await self._shared.carrier.resume(name)
        await self._shared.audit.note(
            caller, "queues.resume", f"queue {name}", before=before, after={"paused": False}
        )
        return await self._now(caller, name)

    async def drain(self, caller: Caller, name: str) -> Emptied:
        """Remove all jobs that wait in it, also delayed ones."""
        check_whole_queue(caller, checked_queue(name))
        before = await self._counts(name)
        removed = await self._shared.carrier.drain(name)
        await self._shared.audit.note(
            caller, "queues.drain", f"queue {name}", before=before, after={"removed": removed}
        )
        return Emptied(removed)

    async def clean(
        self, caller: Caller, name: str, state: JobState, *, older_than_ms: int = 0, limit: int = MOST_CLEANED
    ) -> Emptied:
        """Remove jobs that ended in a state longer ago than so many ms, at most `limit`. InvalidError."""
        check_whole_queue(caller, checked_queue(name))
        if not state.terminal:
            ended = ", ".join(one for one in JobState if one.terminal)
            msg = f"state: only jobs that ended can be cleaned: {ended}; got {state}"
            raise InvalidError(msg)
        limit = min(limit, MOST_CLEANED)
        removed = await self._shared.carrier.clean(
            state, older_than_ms=older_than_ms, queue=name, limit=limit
        )
        before = {"state": state, "older_than_ms": older_than_ms}
        await self._shared.audit.note(
            caller, "queues.clean", f"queue {name}", before=before, after={"removed": removed}
        )
        return Emptied(removed, more=removed >= limit)

    async def resume_due(self) -> float:
        """Resume the queues whose time has come; return the seconds until the next look. For the server's loop."""
        database, now_ms = self._shared.database, self._shared.app.clock.now_ms()
        due = select(TIMERS).where(TIMERS.c.app == database.app, TIMERS.c.resume_ms <= now_ms)
        for row in await database.rows(due):
            await self._shared.carrier.resume(row["queue"])
            # Only that timer: somebody may have set another one meanwhile.
            await database.write(
                delete(TIMERS).where(
                    TIMERS.c.app == database.app,
                    TIMERS.c.queue == row["queue"],
                    TIMERS.c.resume_ms == row["resume_ms"],
                )
            )
        return 1.0

    async def _timers(self) -> dict[str, int]:
        database = self._shared.database
        rows = await database.rows(select(TIMERS).where(TIMERS.c.app == database.app))
        return {row["queue"]: row["resume_ms"] for row in rows}

    async def _set_timer(self, name: str, until_ms: int | None, caller: Caller) -> None:
        database = self._shared.database
        async with database.writing() as connection:
            await connection.execute(
                delete(TIMERS).where(TIMERS.c.app == database.app, TIMERS.c.queue == name)
            )
            if until_ms is not None:
                await connection.execute(
                    insert(TIMERS).values(
                        app=database.app, queue=name, resume_ms=until_ms, who=caller.who[:200]
                    )
                )

    def _checked_until(self, until: datetime | None) -> int | None:
        if until is None:
            return None
        try:
            until_ms = instant_ms(until, "until")
        except (TypeError, ValueError) as error:
            raise InvalidError(str(error)) from error
        if until_ms <= self._shared.app.clock.now_ms():
            msg = f"until: must be in the future, got {until.isoformat()}"
            raise InvalidError(msg)
        return until_ms

    async def _state(self, name: str) -> dict[str, object]:
        timers = await self._timers()
        until = timers.get(name)
        paused = name in await self._shared.carrier.paused()
        return {"paused": paused, "until": None if until is None else from_ms(until)}

    async def _counts(self, name: str) -> dict[str, int]:
        found = await self._shared.carrier.counts([name])
        return {str(state): count for one in found for state, count in one.counts.items()}

    async def _now(self, caller: Caller, name: str) -> Queue:
        try:
            return await self.get(caller, name)
        except NotFoundError:  # resumed, and nothing else is known of it
            return Queue(name=name, paused=False, counts={}, declared=False, carriers={})


def _queue(
    name: str,
    found: dict[str, QueueCounts | None],
    timers: dict[str, int],
    declared: set[str],
    now_ms: int,
) -> Queue:
    known = [one for one in found.values() if one is not None]
    oldest = min((one.oldest_ready_ms for one in known if one.oldest_ready_ms is not None), default=None)
    paused = any(one.paused for one in known)
    until = timers.get(name) if paused else None
    return Queue(
        name=name,
        paused=paused,
        paused_until=None if until is None else from_ms(until),
        counts={state: sum(one.counts.get(state, 0) for one in known) for state in JobState},
        oldest_ready_at=None if oldest is None else from_ms(oldest),
        oldest_ready_age_ms=None if oldest is None else max(0, now_ms - oldest),
        declared=name in declared,
        carriers={at: dict(one.counts) for at, one in found.items() if one is not None}
        if len(found) > 1
        else {},
    )


def checked_queue(name: str) -> str:
    """Return the name of a queue; InvalidError when no queue can be called so."""
    try:
        return valid_name(name, "queue")
    except ValueError as error:
        raise InvalidError(str(error)) from error
