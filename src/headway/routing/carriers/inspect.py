"""Reading over several carriers: records where their ids point, lists as one, counts as sums."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Final

import msgspec

from headway.brokers.base import JobPage, QueueCounts, WorkerRecord
from headway.errors import ConfigError

if TYPE_CHECKING:
    import builtins  # in Inspection `list` is a method
    from collections.abc import Sequence

    from headway.brokers.base import JobQuery, LogLine
    from headway.job import JobId, JobRecord, JobState
    from headway.routing.carriers.sides import Sides

    _Cursors = dict[str, str | None]

_ENDED: Final = ""  # the place of a carrier in a cursor when all of its jobs were listed


class Inspection:
    """Looks jobs up on all carriers."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides

    async def get(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return the records in the order of the ids: in the common case one call of one carrier."""
        found = await self._sides.records(list(dict.fromkeys(ids)))
        return [found[one][1] if one in found else None for one in ids]

    async def logs(self, job_id: JobId) -> list[LogLine]:
        """Return the job's log, oldest line first."""
        where = await self._sides.records([job_id])
        return await self._sides[where[job_id][0]].logs(job_id) if where else []

    async def list(self, query: JobQuery, *, after: str | None, limit: int) -> JobPage:
        """List matching jobs of all carriers as one list; the cursor has the place in each."""
        sides = self._sides
        places = _places(after, sides.names)
        open_names = [name for name in sides.names if places.get(name) != _ENDED]
        pages = await self._pages(query, open_names, places, [limit] * len(open_names))
        by_end = _lists_by_end(query) and all(sides[name].capabilities.by_end for name in sides.names)
        picks = _picks(pages, limit, by_end=by_end)
        # A carrier's cursor stands behind a whole page: who gives a part of one is asked again for just that part.
        shares = [picks.count(n) for n in range(len(pages))]
        cut = [n for n, page in enumerate(pages) if 0 < shares[n] < len(page.jobs)]
        again = await self._pages(query, [open_names[n] for n in cut], places, [shares[n] for n in cut])
        for n, page in zip(cut, again, strict=True):
            pages[n], shares[n] = page, len(page.jobs)
        for n, name in enumerate(open_names):
            if shares[n] or not pages[n].jobs:
                places[name] = pages[n].cursor or _ENDED
        taken = [JobPage(page.jobs[: shares[n]]) for n, page in enumerate(pages)]
        following = [iter(page.jobs) for page in taken]
        jobs = [next(following[n]) for n in _picks(taken, sum(shares), by_end=by_end)]
        ended = all(places.get(name) == _ENDED for name in sides.names)
        return JobPage(jobs, None if ended else _cursor(places))

    async def _pages(
        self, query: JobQuery, names: Sequence[str], places: _Cursors, limits: Sequence[int]
    ) -> builtins.list[JobPage]:
        calls = (
            self._filled(query, name, places.get(name), limit)
            for name, limit in zip(names, limits, strict=True)
        )
        return list(await asyncio.gather(*calls))

    async def _filled(self, query: JobQuery, name: str, place: str | None, limit: int) -> JobPage:
        """Return a page of so many jobs, of several where a carrier's own is short although it goes on."""
        page = await self._sides[name].list(query, after=place, limit=limit)
        while len(page.jobs) < limit and page.cursor is not None:
            more = await self._sides[name].list(query, after=page.cursor, limit=limit - len(page.jobs))
            page = JobPage([*page.jobs, *more.jobs], more.cursor)
        return page

    async def counts(self, queues: Sequence[str] | None) -> builtins.list[QueueCounts]:
        """Count by state, over all carriers; a queue is paused where one of them has paused it."""
        counted = await self._sides.each(lambda store: store.counts(queues))
        by_queue: dict[str, builtins.list[QueueCounts]] = {}
        for some in counted:
            for one in some:
                by_queue.setdefault(one.queue, []).append(one)
        return [_summed(by_queue[queue]) for queue in sorted(by_queue)]

    async def workers(self) -> builtins.list[WorkerRecord]:
        """Return the workers of all carriers, one that serves several once, sorted by name."""
        known: dict[str, WorkerRecord] = {}
        for some in await self._sides.each(lambda store: store.workers()):
            for one in some:
                known[one.id] = _joined(known[one.id], one) if one.id in known else one
        return [known[name] for name in sorted(known)]


def _lists_by_end(query: JobQuery) -> bool:
    return len(query.states) == 1 and query.states[0].terminal


def _picks(pages: Sequence[JobPage], limit: int, *, by_end: bool) -> list[int]:
    """Return from which page each of the first `limit` jobs of all comes: the latest first, as each page has them."""
    picks: list[int] = []
    taken = [0] * len(pages)
    while len(picks) < limit:
        # Behind the end of a page that goes on, nobody knows what follows: there the joint page ends.
        if any(taken[n] == len(page.jobs) and page.cursor is not None for n, page in enumerate(pages)):
            break
        heads = [
            (_rank(page.jobs[taken[n]], by_end=by_end), n)
            for n, page in enumerate(pages)
            if taken[n] < len(page.jobs)
        ]
        if not heads:
            break
        picks.append(n := max(heads)[1])
        taken[n] += 1
    return picks


def _rank(record: JobRecord, *, by_end: bool) -> tuple[int, str]:
    return (record.finished_ms or 0, record.id) if by_end else (0, record.id)


def _places(cursor: str | None, names: Sequence[str]) -> _Cursors:
    """Read a cursor; ConfigError when it is none of these carriers'."""
    if cursor is None:
        return {}
    try:
        places = msgspec.json.decode(base64.urlsafe_b64decode(cursor.encode()), type=dict[str, str])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        msg = f"{cursor[:60]!r} is not a cursor of this app's lists; begin again without one"
        raise ConfigError(msg) from error
    return {name: place for name, place in places.items() if name in names}


def _cursor(places: _Cursors) -> str:
    kept = {name: place for name, place in places.items() if place is not None}
    return base64.urlsafe_b64encode(msgspec.json.encode(kept)).decode()


def _summed(parts: Sequence[QueueCounts]) -> QueueCounts:
    counts: dict[JobState, int] = {}
    for one in parts:
        for state, count in one.counts.items():
            counts[state] = counts.get(state, 0) + count
    oldest = [one.oldest_ready_ms for one in parts if one.oldest_ready_ms is not None]
    return QueueCounts(
        queue=parts[0].queue,
        paused=any(one.paused for one in parts),
        counts=counts,
        oldest_ready_ms=min(oldest, default=None),
    )


def _joined(one: WorkerRecord, other: WorkerRecord) -> WorkerRecord:
    leases = [until for until in (one.lease_until_ms, other.lease_until_ms) if until is not None]
    since = [instant for instant in (one.since_ms, other.since_ms) if instant is not None]
    return WorkerRecord(
        id=one.id,
        lease_until_ms=min(leases, default=None),
        holds=one.holds + other.holds,
        queues=tuple(sorted({*one.queues, *other.queues})),
        since_ms=min(since, default=None),
        draining=one.draining or other.draining,
    )
