"""Acts on all jobs that match: counted first, done page by page, cancelled at any page, taken up again after a kill.

An act is a row in the access database. Any server process of the app works on it, one at a time, under a lease that
each page extends; whoever finds the lease over goes on behind the last page that was written down. Jobs that were
enqueued, or ended, after the act was asked for are left alone, so that an act comes to an end and does nothing twice.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import insert, or_, select, update

from headway.clock import from_ms
from headway.codec import decode_history
from headway.errors import BrokerError, HeadwayError
from headway.job import JobId, id_instant_ms
from headway.raised import in_one_line
from headway.server.access.caller import Caller, Role, Scope
from headway.server.instants import Instant
from headway.server.services.failures import group_of
from headway.server.services.job_acts import JobAct, act_on
from headway.server.services.jobs import JobSearch, list_page, query_of
from headway.server.services.problems import ConflictError, NotFoundError
from headway.server.store.database import StoreError
from headway.server.store.tables import ACTS

if TYPE_CHECKING:
    import builtins  # in Acts `list` is a method

    from sqlalchemy import ColumnElement, RowMapping

    from headway.job import JobRecord
    from headway.server.services.shared import Shared

PAGE: Final = 500
"""Jobs between two looks at whether the act was cancelled."""
_LEASE_MS: Final = 15_000
_IDLE: Final = 1.0  # seconds between two looks for something to do
_LISTED: Final = 200


class ActState(StrEnum):
    """Where an act is in its life."""

    COUNTING = "counting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """True when nothing more will be done."""
        return self in {ActState.DONE, ActState.CANCELLED, ActState.FAILED}


class ActQuery(JobSearch, frozen=True, forbid_unknown_fields=True):
    """Which jobs, as when jobs are listed; `group` is an error group of failed ones."""

    group: str | None = None


class NewAct(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done to all jobs that match. `dry_run`: they are only counted."""

    act: JobAct
    query: ActQuery
    dry_run: bool = False


class Act(Struct, frozen=True, kw_only=True):
    """An act: how many jobs match, as far as they are counted, and to how many it was done.

    `passed_over` are those that were in another state when their turn came.
    """

    id: str
    act: JobAct
    query: ActQuery
    dry_run: bool
    state: ActState
    who: str
    matched: int
    done: int
    passed_over: int
    created_at: Instant
    ended_at: Instant | None = None
    error: str = ""


class Acts:
    """The acts of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._holder = secrets.token_hex(16)

    async def create(self, caller: Caller, wish: NewAct) -> Act:
        """Begin an act; InvalidError for a query that names a tag which no task has."""
        query_of(self._shared, caller.scope, wish.query)
        now = self._shared.app.clock.now_ms()
        act_id = secrets.token_hex(8)
        await self._shared.audit.note(caller, f"acts.{wish.act}", f"act {act_id}", after=wish)
        await self._shared.database.write(
            insert(ACTS).values(
                app=self._shared.database.app,
                id=act_id,
                act=str(wish.act),
                query=msgspec.json.encode(wish.query).decode(),
                who=caller.who[:200],
                scope=msgspec.json.encode(caller.scope).decode(),
                state=str(ActState.COUNTING),
                created_ms=now,
                matched=0,
                done=0,
                passed_over=0,
                counted=0,
                dry_run=int(wish.dry_run),
                error="",
                holder="",
                held_until_ms=0,
            )
        )
        return await self.get(caller, act_id)

    async def list(self, caller: Caller) -> builtins.list[Act]:
        """Return the last acts within the caller's scope, the latest first."""
        database = self._shared.database
        rows = await database.rows(
            select(ACTS)
            .where(ACTS.c.app == database.app)
            .order_by(ACTS.c.created_ms.desc(), ACTS.c.id)
            .limit(_LISTED)
        )
        return [_view(row) for row in rows if _may_see(caller, row)]

    async def get(self, caller: Caller, act_id: str) -> Act:
        """Return one; NotFoundError."""
        row = await self._row(act_id)
        if row is None or not _may_see(caller, row):
            msg = f"there is no act {act_id!r}"
            raise NotFoundError(msg)
        return _view(row)

    async def cancel(self, caller: Caller, act_id: str) -> Act:
        """End it before its next page. What was done stays done. NotFoundError; ConflictError when it is over."""
        found = await self.get(caller, act_id)
        ended = {"state": str(ActState.CANCELLED), "ended_ms": self._shared.app.clock.now_ms()}
        open_states = [str(one) for one in ActState if not one.over]
        if not await self._update(ACTS.c.state.in_(open_states), act_id, ended):
            msg = f"act {act_id} is {found.state}"
            raise ConflictError(msg)
        after = await self.get(caller, act_id)
        await self._shared.audit.note(
            caller, "acts.cancel", f"act {act_id}", before={"state": found.state}, after={"done": after.done}
        )
        return after

    async def work(self) -> float:
        """Do a page of the act that waits for longest; return the seconds until the next look. For the server."""
        row = await self._claimed()
        if row is None:
            return _IDLE
        try:
            await self._page(row)
        except HeadwayError as error:
            if _may_pass(error):
                raise
            ended = {
                "state": str(ActState.FAILED),
                "error": in_one_line(error)[:1000],
                "ended_ms": self._shared.app.clock.now_ms(),
            }
            await self._update(ACTS.c.holder == self._holder, row["id"], ended)
        return 0.0

    async def _claimed(self) -> RowMapping | None:
        database, now = self._shared.database, self._shared.app.clock.now_ms()
        open_states = [str(one) for one in ActState if not one.over]
        free = or_(ACTS.c.held_until_ms < now, ACTS.c.holder == self._holder)
        rows = await database.rows(
            select(ACTS)
            .where(ACTS.c.app == database.app, ACTS.c.state.in_(open_states), free)
            .order_by(ACTS.c.created_ms)
            .limit(1)
        )
        for row in rows:
            held = {"holder": self._holder, "held_until_ms": now + _LEASE_MS}
            if await self._update(ACTS.c.state.in_(open_states) & free, row["id"], held):
                return row
        return None

    async def _page(self, row: RowMapping) -> None:
        scope = msgspec.json.decode(row["scope"], type=Scope)
        search = msgspec.json.decode(row["query"], type=ActQuery)
        counting = row["state"] == ActState.COUNTING
        query = query_of(self._shared, scope, search)
        records: list[JobRecord] = []
        cursor: str | None = None
        if query is not None:
            page = await list_page(self._shared, query, row["cursor"], PAGE)
            records = [one for one in page.jobs if _meant(one, search, row["created_ms"])]
            cursor = page.cursor
        changes: dict[str, Any] = {"cursor": cursor}
        counts = ("done", "passed_over", "matched")
        if counting:
            changes["matched"] = row["matched"] + len(records)
        else:
            done = await self._act(row, scope, records)
            changes["done"] = row["done"] + done
            changes["passed_over"] = row["passed_over"] + len(records) - done
        if cursor is None:
            if counting and not row["dry_run"]:
                changes |= {"state": str(ActState.RUNNING), "counted": 1}
            else:
                changes |= {"state": str(ActState.DONE), "ended_ms": self._shared.app.clock.now_ms()}
        # Cancelled meanwhile, or somebody else's now: then what was done is counted, and nothing else changes.
        if not await self._update(
            (ACTS.c.holder == self._holder) & (ACTS.c.state == row["state"]), row["id"], changes
        ):
            kept: dict[str, Any] = {name: changes[name] for name in counts if name in changes}
            await self._update(ACTS.c.state == str(ActState.CANCELLED), row["id"], kept)

    async def _act(self, row: RowMapping, scope: Scope, records: builtins.list[JobRecord]) -> int:
        act = JobAct(row["act"])
        ids = [one.id for one in records]
        done, _ = await act_on(
            self._shared, act, ids, {one.id: one.state for one in records}, f"act {row['id']}"
        )
        touched: list[JobId] = [one for one in ids if done.get(one)]
        if touched:
            caller = Caller(row["who"], Role.OPERATE, scope)
            await self._shared.audit.note(caller, f"jobs.{act}", f"act {row['id']}", after={"jobs": touched})
        return len(touched)

    async def _row(self, act_id: str) -> RowMapping | None:
        database = self._shared.database
        rows = await database.rows(select(ACTS).where(ACTS.c.app == database.app, ACTS.c.id == act_id))
        return next(iter(rows), None)

    async def _update(self, where: ColumnElement[bool], act_id: str, values: dict[str, Any]) -> bool:
        database = self._shared.database
        statement = update(ACTS).where(ACTS.c.app == database.app, ACTS.c.id == act_id, where)
        return await database.write(statement.values(**values)) > 0


def _meant(record: JobRecord, search: ActQuery, created_ms: int) -> bool:
    """Tell whether a job was such when the act was asked for."""
    if record.withdrawn or id_instant_ms(record.id) > created_ms:
        return False
    if record.finished_ms is not None and record.finished_ms > created_ms:
        return False
    if search.group is None:
        return True
    return group_of(next(iter(reversed(decode_history(record.history))), None)) == search.group


def _may_pass(error: HeadwayError) -> bool:
    """Tell whether the same page can be tried again: a carrier or the database does not answer."""
    return isinstance(error, BrokerError | StoreError)


def _may_see(caller: Caller, row: RowMapping) -> bool:
    return caller.scope.everything or caller.scope == msgspec.json.decode(row["scope"], type=Scope)


def _view(row: RowMapping) -> Act:
    return Act(
        id=row["id"],
        act=JobAct(row["act"]),
        query=msgspec.json.decode(row["query"], type=ActQuery),
        dry_run=bool(row["dry_run"]),
        state=ActState(row["state"]),
        who=row["who"],
        matched=row["matched"],
        done=row["done"],
        passed_over=row["passed_over"],
        created_at=from_ms(row["created_ms"]),
        ended_at=None if row["ended_ms"] is None else from_ms(row["ended_ms"]),
        error=row["error"],
    )
