"""From a batch of events to rows: the jobs' records are read where events do not carry what is recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from headway.codec import decode_history, encode_history
from headway.events import Event, EventKind
from headway.job import JobId, is_job_id
from headway.records.describing import describe, describe_call, remember
from headway.records.folding import Folding
from headway.records.known import known
from headway.records.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.app.task import Task
    from headway.brokers.base import LogLine, Store
    from headway.job import JobRecord
    from headway.records.route_versions import RouteVersions
    from headway.records.store import RecordStore
    from headway.records.written import Rows

_SAYS_ALL: Final = frozenset({EventKind.STARTED, EventKind.SUPERSEDED})
"""Kinds behind which nothing is read: what they change is in them."""
_AT_ONCE: Final = 1000  # jobs asked for in one call
_LOGS_AT_ONCE: Final = 100


class Preparing:
    """Makes rows of what happens on one carrier."""

    def __init__(
        self,
        name: str,
        carrier: Store,
        store: RecordStore,
        tasks: Mapping[str, Task[Any, Any]],
        routes: RouteVersions,
        *,
        alone: bool,
    ) -> None:
        """`alone`: the app has no other carrier, from which a job could have come here."""
        self.name = name
        self.carrier = carrier
        self.store = store
        self.tasks = tasks
        self._routes = routes
        self._alone = alone
        self._recent = Recent()

    def folding(self) -> Folding:
        """Return an empty one of this carrier."""
        return Folding(self.name, self._routes.at)

    def begin(self) -> None:
        """Rely on nothing that was read before: it may not have been written."""
        self._recent.clear()

    async def rows(self, events: Sequence[Event], now_ms: int) -> Rows:
        """Return the rows of a batch of events, in their order."""
        await self._routes.freshen(now_ms)
        sound, attempts = self._recent.split(event for event in events if is_job_id(event.job_id))
        folding = self.folding()
        folding.events(sound)
        folding.attempts(attempts)
        self._recent.number(folding.rows.executions.values())
        read = dict.fromkeys(event.job_id for event in sound if event.kind not in _SAYS_ALL)
        # A call never changes: it is read once. A log is read when the job has ended.
        came = {event.job_id for event in sound if event.kind is EventKind.ENQUEUED}
        records = await self.records(list(read))
        logs = await self.logs(records)
        self._recent.read((record for record in records if record.id in came), now_ms)
        for record in records:
            describe(folding, record, logs.get(record.id, ()))
            if record.id in came:
                describe_call(folding, record, self.tasks)
        await self._arrivals(folding, sound, records)
        return folding.rows

    async def records(self, ids: Sequence[JobId]) -> list[JobRecord]:
        """Read jobs; those that their carrier does not know any more are left out."""
        found: list[JobRecord] = []
        for start in range(0, len(ids), _AT_ONCE):
            found += [one for one in await self.carrier.get(ids[start : start + _AT_ONCE]) if one is not None]
        return found

    async def logs(self, records: Sequence[JobRecord]) -> dict[JobId, list[LogLine]]:
        """Read the logs of those of the jobs that have ended."""
        ids = [one.id for one in records if one.logged and one.state.terminal]
        found: dict[JobId, list[LogLine]] = {}
        for start in range(0, len(ids), _LOGS_AT_ONCE):
            some = ids[start : start + _LOGS_AT_ONCE]
            told = await asyncio.gather(*(self.carrier.logs(one) for one in some))
            found |= {one: lines for one, lines in zip(some, told, strict=True) if lines}
        return found

    async def _arrivals(
        self, folding: Folding, events: Sequence[Event], records: Sequence[JobRecord]
    ) -> None:
        """Add what jobs went through before they came here: on another carrier of the app, or elsewhere altogether."""
        came = {event.job_id: event.at_ms for event in events if event.kind is EventKind.ENQUEUED}
        with_past = [one for one in records if one.id in came and one.history]
        if not came or (self._alone and not with_past):
            return
        asked = came if not self._alone else dict.fromkeys(one.id for one in with_past)
        async with self.store.reading() as connection:
            there = await known(connection, asked)
        for job_id, at_ms in came.items():
            before = there.get(job_id)
            if before is not None and before.carrier != self.name:
                folding.told(job_id, at_ms, EventKind.ENQUEUED.value, folding.job(job_id).epoch)
        for record in with_past:
            if record.id not in there:
                earlier = [one for one in decode_history(record.history) if one.at_ms < came[record.id]]
                if earlier:
                    remember(folding, replace(record, history=encode_history(earlier), started_ms=None))
