"""Bringing jobs along: once, or for as long as old producers add some."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.errors import BrokerUnavailableError
from headway.migrate.carrying import STALE_MS, Finished
from headway.migrate.census import Census
from headway.migrate.deciding import Intent
from headway.migrate.found import WAITING_STATES
from headway.migrate.inturn import InTurn
from headway.migrate.plan import expect, judge, note
from headway.migrate.source import Entry, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from headway.migrate.carrying import Carrying
    from headway.migrate.deciding import Deciding
    from headway.migrate.destination import Destination
    from headway.migrate.found import FoundJob, FoundState
    from headway.migrate.inturn import Turn
    from headway.migrate.pace import Pace
    from headway.migrate.progress import Meter
    from headway.migrate.source import Source

_TOGETHER: Final = 400  # jobs given to a carrier at once: what it costs to store is shared by them
_BYTES_TOGETHER: Final = 4 * 1024 * 1024  # of their arguments, about
_BATCHES: Final = 3  # that are on their way at once: neither side waits for the other, and memory stays small
_LOOK_S: Final = 0.4  # between two looks of `forward`: what is added is here within a second
_WHOLE_S: Final = 30.0  # between looks at everything: what failed there, or was not fresh
_AGAIN_S: Final = 1.0


class Applied(Struct, frozen=True):
    """What came of it. `resumed` jobs were on their way when an earlier run was interrupted."""

    census: Census
    resumed: int
    doubtful: tuple[Entry, ...]


class Applier:
    """Brings the jobs of some queues along."""

    def __init__(
        self,
        source: Source,
        deciding: Deciding,
        destination: Destination,
        carrying: Carrying,
        *,
        meter: Meter,
        pace: Pace,
        states: Collection[FoundState] = WAITING_STATES,
    ) -> None:
        """All are open. `states` are those that are looked at."""
        self._source = source
        self._deciding = deciding
        self._destination = destination
        self._carrying = carrying
        self._meter = meter
        self._pace = pace
        self._states = frozenset(states)
        self.census = Census()  # as it grows, for whoever tells how far it is

    async def once(self, queues: Sequence[str]) -> Applied:
        """Finish what is under way, then bring along what waits.

        BrokerError when a side does not answer: the same call goes on where this one ended. Two at once do not fight.
        """
        census = self.census = Census()
        resumed, doubtful = await self._finished(queues)
        await expect(self._source, queues, self._states, self._meter, census)
        for queue in queues:
            await self._pass(queue, census)
        more, doubtful_now = await self._finished(queues, wait=True)
        known = {one.entry_id for one in doubtful}
        doubtful += tuple(one for one in doubtful_now if one.entry_id not in known)
        return Applied(census, resumed + more, doubtful)

    async def forever(
        self, queues: Sequence[str], stop: asyncio.Event, told: Callable[[str], None]
    ) -> Applied:
        """Bring along what is added, until `stop` is set; a side that does not answer is asked again.

        `told` hears of outages. What is under way when it stops is finished.
        """
        census = self.census = Census()
        total = Finished()
        loop = asyncio.get_running_loop()
        whole_at = loop.time()
        since_ms: int | None = None
        away = False
        while not stop.is_set():
            try:
                began_ms = await self._source.now_ms()
                if away:  # what was under way then comes first
                    for queue in queues:
                        total = await self._carrying.finish(queue)
                whole = loop.time() >= whole_at
                for queue in queues:
                    fresh = None if whole else since_ms
                    await self._pass(queue, census, fresh, counts=since_ms is None)
                if whole:
                    whole_at = loop.time() + _WHOLE_S
                    for queue in queues:
                        total = await self._carrying.finish(queue)
                since_ms = began_ms
                if away:
                    told("all answers again: going on")
                away = False
            except BrokerUnavailableError as error:
                if not away:
                    told(f"{error}; trying again")
                away = True
            await _stopped(stop, _AGAIN_S if away else _LOOK_S)
        return Applied(census, total.moved, total.doubtful)

    async def _finished(self, queues: Sequence[str], *, wait: bool = False) -> tuple[int, tuple[Entry, ...]]:
        """Finish what others left; with `wait` also what may still be under way, once it is old enough."""
        moved, doubtful = 0, list[Entry]()
        for queue in queues:
            done = await self._carrying.finish(queue)
            end = asyncio.get_running_loop().time() + 2 * STALE_MS / 1000
            while wait and done.young and asyncio.get_running_loop().time() < end:
                moved += done.moved
                await asyncio.sleep(_AGAIN_S)
                done = await self._carrying.finish(queue)
            moved += done.moved
            doubtful += done.doubtful
        return moved, tuple(doubtful)

    async def _pass(
        self, queue: str, census: Census, fresh_since_ms: int | None = None, *, counts: bool = True
    ) -> None:
        """Look at a queue once; `counts`: what stays is counted, which `forward` sees again and again."""
        wanted: list[tuple[FoundJob, Intent]] = []
        size = 0
        async with InTurn(_BATCHES) as turns:
            async for page in self._source.pages(queue, self._states, fresh_since_ms=fresh_since_ms):
                await self._destination.freshen()
                for job in page:
                    decision = judge(self._source, job, self._deciding, self._destination)
                    if isinstance(decision, Intent):
                        wanted.append((job, decision))
                        size += job.size
                    elif counts:
                        census.note_found(job)
                        note(census, job, decision)
                if len(wanted) >= _TOGETHER or size >= _BYTES_TOGETHER:
                    await self._begin(turns, queue, wanted, census, counts=counts)
                    wanted, size = [], 0
                self._meter.add(len(page))
            await self._begin(turns, queue, wanted, census, counts=counts)

    async def _begin(
        self,
        turns: InTurn,
        queue: str,
        wanted: Sequence[tuple[FoundJob, Intent]],
        census: Census,
        *,
        counts: bool,
    ) -> None:
        most = self._pace.most(max(len(wanted), 1))
        for first in range(0, len(wanted), most):
            some = wanted[first : first + most]
            await turns.begin(partial(self._move, queue, some, census, counts=counts))

    async def _move(
        self,
        queue: str,
        some: Sequence[tuple[FoundJob, Intent]],
        census: Census,
        turn: Turn,
        *,
        counts: bool,
    ) -> None:
        """Take a batch, and send it: the one before is sent meanwhile, the next one read and judged."""
        async with turn("take"):
            await self._pace.passed(len(some))
            load = await self._carrying.take(queue, some)
        async with turn("send"):
            outcomes = await self._carrying.send(load)
        for (job, intent), outcome in zip(some, outcomes, strict=True):
            if outcome.status is Status.ENQUEUED:
                census.note_found(job)
                census.note_moved(job, intent)
            elif outcome.status is Status.REFUSED:
                census.note_found(job)
                census.note_refused(job, outcome.why)
            elif outcome.why:
                if counts:
                    census.note_found(job)
                    census.note_left(job, outcome.why)
            else:
                census.note_gone(job)


async def _stopped(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
