"""What all services of one app stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headway.routing.carriers.broker import RoutedBroker
from headway.routing.changing import control_carrier
from headway.server.services.problems import CannotError, NotFoundError, OutOfScopeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.app.app import Headway
    from headway.brokers.base import ControlStore, FiguresStore, Store
    from headway.job import JobId, JobRecord
    from headway.server.access.audit import Audit
    from headway.server.access.caller import Caller
    from headway.server.store.database import Database


class Shared(NamedTuple):
    """An app that is open on the running loop, and where its server keeps what it needs."""

    app: Headway
    database: Database
    audit: Audit

    @property
    def carrier(self) -> Store:
        """The carrier in front of all."""
        return self.app.carrier

    @property
    def carriers(self) -> Mapping[str, Store]:
        """The carriers by name."""
        return self.app.carriers

    @property
    def control(self) -> ControlStore | None:
        """Where routes and roll-outs are kept."""
        found = control_carrier(self.carriers)
        return None if found is None else found[1]

    @property
    def figures(self) -> FiguresStore | None:
        """Where figures are kept."""
        able = (one.capabilities.figures for one in self.carriers.values())
        return next((one for one in able if one is not None), None)

    async def located(self, ids: Sequence[JobId]) -> dict[JobId, tuple[str, JobRecord]]:
        """Return the jobs that are known, each with the name of its carrier."""
        carrier = self.carrier
        if isinstance(carrier, RoutedBroker):
            return await carrier.sides.records(ids)
        (name,) = self.carriers
        records = await carrier.get(ids)
        return {record.id: (name, record) for record in records if record is not None}

    async def visible(self, caller: Caller, ids: Sequence[JobId]) -> dict[JobId, tuple[str, JobRecord]]:
        """As `located`, without those that the caller may not see."""
        found = await self.located(list(dict.fromkeys(ids)))
        if caller.scope.everything:
            return found
        return {
            one: (name, record)
            for one, (name, record) in found.items()
            if caller.scope.has_job(record.queue, record.task)
        }

    async def one_visible(self, caller: Caller, job_id: JobId) -> tuple[str, JobRecord]:
        """Return one job with the name of its carrier; NotFoundError."""
        found = await self.visible(caller, [job_id])
        if job_id not in found:
            msg = f"there is no job {job_id}: never accepted, removed, or pruned after its time"
            raise NotFoundError(msg)
        return found[job_id]


def check_queue(caller: Caller, queue: str) -> None:
    """OutOfScopeError when the caller may not see this queue."""
    if not caller.scope.has_queue(queue):
        msg = f"this key is not for queue {queue!r}"
        raise OutOfScopeError(msg)


def check_whole_queue(caller: Caller, queue: str) -> None:
    """OutOfScopeError when the caller may not act on all jobs of this queue."""
    check_queue(caller, queue)
    if caller.scope.tasks:
        msg = "this key is for some tasks only, and this concerns all jobs of a queue"
        raise OutOfScopeError(msg)


def check_everything(caller: Caller, what: str) -> None:
    """OutOfScopeError when the caller's key is bound to queues or tasks."""
    if not caller.scope.everything:
        msg = f"this key is for some queues or tasks only, and {what} concern all of them"
        raise OutOfScopeError(msg)


def control_of(shared: Shared) -> ControlStore:
    """Return where routes are kept; CannotError."""
    if shared.control is None:
        msg = f"none of the carriers {', '.join(shared.carriers)} keeps routes: one on Redis or SQLite does"
        raise CannotError(msg)
    return shared.control
