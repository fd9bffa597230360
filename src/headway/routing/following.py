"""The routes as one process knows them: a copy that follows the control store without a question for each job."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError, CodecError
from headway.routing.draining import stand_in, working
from headway.routing.routes import Route
from headway.routing.shadow import at_work
from headway.routing.table import UNROUTED, RouteTable
from headway.routing.tableformat import decode_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.brokers.base import ControlStore
    from headway.job import NewJob
    from headway.routing.shadow import Shadow

ROUTES: Final = "routes"
"""The name of the document in the control store."""
SETTLING: Final = 4.0
"""Seconds from a change of routes to the moment from which jobs with a key go by the new ones.

Until then a producer may go by the old ones: no copy is used for such a job that is older than `_OLDEST`.
"""
QUIET: Final = 1.0
"""Seconds before that moment in which no job with a name is sent on its way: what was sent has arrived by then.

Else a call by the old routes and one by the new, a moment apart, could each find the name free where the other goes.
"""
_WAKE: Final = 0.02  # seconds
_LOOK: Final = 0.8  # seconds from one look to the next, while jobs are enqueued
_OLDEST: Final = 1.8  # seconds: a copy that nobody compared for so long is compared before it is used
_IDLE: Final = 60.0  # seconds without a job, after which nobody looks any more
_PATIENCE: Final = 1.0  # seconds for a look that somebody waits for
_MOST_FORMER: Final = 16

_log = logging.getLogger("headway.routes")


class Following:
    """Routes of one app on one event loop. `choose` and `formerly` ask nobody."""

    def __init__(
        self,
        carriers: tuple[str, ...],
        declared: Mapping[str, Route],
        control: ControlStore | None,
        shadows: Mapping[str, Shadow] | None = None,
    ) -> None:
        """`carriers` are the names of the settings, `declared` their routes and `shadows` what they have copied.

        Without `control` nothing else counts.
        """
        self._declared_shadows = dict(shadows or {})
        self.shadows = at_work(self._declared_shadows, {}, frozenset(carriers))
        """What is copied to another carrier, by queue."""
        self.carriers = carriers
        self.table = RouteTable()
        self._declared = dict(declared)
        self._control = control
        self._routes = _known(declared, carriers)
        self._default = carriers[0]  # of queues without a route
        self._adopted: Callable[[], None] | None = None
        self._looked = -1e9  # time.monotonic() at which the last look that was answered began
        self._tried = -1e9
        self._settled = -1e9  # time.monotonic() from which the present version counts for jobs with a name
        self._used = -1e9
        self._look: asyncio.Task[None] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._away = False
        self._unknown: frozenset[str] = frozenset()

    def on_adopt(self, call: Callable[[], None]) -> None:
        """Call this now, and whenever other routes are gone by."""
        self._adopted = call
        call()

    @property
    def stale(self) -> bool:
        """True when the copy is too old to be gone by."""
        if self._control is None:
            return False
        self._used = now = time.monotonic()
        return now - self._looked > _OLDEST and now - self._tried > _OLDEST

    async def freshen(self) -> None:
        """Compare the copy with the control store, within a second; who cannot goes on with what he has."""
        if self._control is None:
            return
        loop = asyncio.get_running_loop()
        if self._look is None or self._look.done():
            self._look = loop.create_task(self._compare(self._control))
        if self._follower is None:
            self._follower = loop.create_task(self._follow())
        await asyncio.wait((self._look,), timeout=_PATIENCE)
        self._tried = time.monotonic()

    async def quiet(self) -> bool:
        """Wait, if the routes are about to settle, until they have; true when somebody waited: then choose anew."""
        left = self._settled - time.monotonic() if self._settled > 0 else 0.0
        if not 0 < left < QUIET:
            return False
        await asyncio.sleep(
            left + _WAKE
        )  # a timer may ring a little early: that would be by the old routes, too late
        return True

    async def close(self) -> None:
        """Follow no more."""
        tasks = [task for task in (self._follower, self._look) if task is not None]
        self._follower = self._look = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def choose(self, job: NewJob) -> str:
        """Return the carrier of a job. The end of an id is not looked at: it is what says where the job went."""
        route = self._routes.get(job.queue)
        if route is None:
            return self._unrouted(job)
        if not job.named:
            return route.only or route.choose(job.id[:-1], None, job.headers)
        if self._unsettled():
            route = self._before(job.queue, route)
        chosen = route.only or route.choose(job.id[:-1], _name(job), job.headers)
        return chosen if chosen not in self._unknown else self.carriers[0]

    def choose_at_once(self, job: NewJob) -> str | None:
        """Return the carrier of a job; None when somebody has to be asked before: see `stale` and `formerly`.

        Each single job costs this much: `stale`, `named` and `choose` are written out here.
        """
        if self._control is not None:
            self._used = now = time.monotonic()
            if now - self._looked > _OLDEST and now - self._tried > _OLDEST:
                return None
        if job.key is not None or job.unique is not None or job.fire is not None:
            return None if self.formerly(job) else self.choose(job)
        route = self._routes.get(job.queue)
        if route is None:
            return self._default
        if route.only is not None:
            return route.only
        return route.choose(job.id[:-1], None, job.headers) if route.by else route.choose_id(job.id)

    def choose_each(self, jobs: Sequence[NewJob], *, named: bool) -> str | list[str]:
        """Return the carrier of all of the jobs, or that of each; `named` is false when none of them is."""
        queues = {job.queue for job in jobs}
        if not named or not self._unsettled():
            goals = {self.only(queue) for queue in queues}
            if len(goals) == 1 and (goal := goals.pop()) is not None:
                return goal
        if named or len(queues) != 1:
            return [self.choose(job) for job in jobs]
        return self._routes[queues.pop()].choose_each(jobs)

    def only(self, queue: str) -> str | None:
        """Return the carrier that takes all jobs of a queue; None when there are several."""
        route = self._routes.get(queue)
        return self._default if route is None else route.only

    def others(self, job: NewJob, name: str) -> tuple[str, ...]:
        """Return the other carriers that the route of the job's queue allows: in its order, behind this one first."""
        route = self._routes.get(job.queue)
        if route is None:
            return ()
        allowed = [one for one, weight in route.weights.items() if weight and one not in self._unknown]
        at = allowed.index(name) + 1 if name in allowed else 0
        return tuple(one for one in (*allowed[at:], *allowed[:at]) if one != name)

    def formerly(self, job: NewJob) -> tuple[str, ...]:
        """Return the other carriers where a job of the same name may be, because of earlier routes or of two names."""
        route = self._routes.get(job.queue)
        former = (*self.table.former.get(job.queue, ()), *self.table.former.get(UNROUTED, ()))
        if route is None and not former and not self._late:
            return ()
        chosen = self.choose(job)
        if len(former) >= _MOST_FORMER or self._late:
            return tuple(name for name in self.carriers if name != chosen)
        places = [one.choose(job.id[:-1], _name(job), job.headers) for one in former]
        if self._unsettled():  # waiting jobs may be taken over to the new place already
            new = self._default if route is None else route.choose(job.id[:-1], _name(job), job.headers)
            places.append(new)
        if route is not None and (route.by or (job.key is not None and job.unique is not None)):
            places += route.weights
        return tuple(name for name in dict.fromkeys(places) if name != chosen and name in self.carriers)

    @property
    def _late(self) -> bool:
        """True when the copy is too old for names, though the control store is not known to be away.

        So it is in a process that has just started, or that gets hardly any time: routes may have changed, and settled,
        since it looked.
        """
        if self._control is None or self._away:
            return False
        return time.monotonic() - self._looked > SETTLING

    def _unsettled(self) -> bool:
        """Tell whether jobs with a name still go by the version before."""
        if self._settled > 0 and time.monotonic() >= self._settled:
            self._settled = -1e9
        return self._settled > 0

    def _unrouted(self, job: NewJob) -> str:
        if job.named and self._unsettled() and self.table.changes.get(UNROUTED) == self.table.version:
            former = self.table.former.get(UNROUTED, ())
            before = former[0].only if former else None
            return before if before in self.carriers else self._default
        return self._default

    def _before(self, queue: str, route: Route) -> Route:
        changed = self.table.changes.get(queue) == self.table.version
        former = self.table.former.get(queue, ())
        return former[0] if changed and former else route

    async def _follow(self) -> None:
        """Look as long as jobs are enqueued now and then, so that hardly any of them waits for a look."""
        while time.monotonic() - self._used < _IDLE:
            await asyncio.sleep(_LOOK)
            await self.freshen()
        self._follower = None

    async def _compare(self, control: ControlStore) -> None:
        began = time.monotonic()
        try:
            found = await control.read_control(ROUTES, newer_than=self.table.version)
            if found is not None:
                # The store counts the versions: one that was restored may have another number in its text.
                table = replace(decode_table(found.body), version=found.version)
                self._adopt(table, began + SETTLING - found.age_ms / 1000)
        except (BrokerError, CodecError) as error:
            if not self._away:
                _log.warning(
                    "routes: they cannot be read, those of version %d go on: %s", self.table.version, error
                )
            self._away = True
        else:
            if self._away:
                _log.info("routes: they can be read again, version %d", self.table.version)
            self._away = False
            self._looked = began

    def _adopt(self, table: RouteTable, settled: float) -> None:
        if self.table.version:
            _log.info(
                "routes: version %d by %s: %s",
                table.version,
                table.who or "?",
                table.why or "no reason given",
            )
        self.table = table
        routes = self._declared | dict(table.routes)
        routes = {queue: working(route, table.drained) for queue, route in routes.items()}
        self._routes = _known(routes, self.carriers)
        taken = frozenset(self.carriers) - frozenset(table.drained)
        self.shadows = at_work(self._declared_shadows, table.shadows, taken)
        default = stand_in(self.carriers[0], table.drained)
        self._default = default if default in self.carriers else self.carriers[0]
        self._settled = settled
        unknown = {name for route in routes.values() for name in route.weights} - set(self.carriers)
        for name in sorted(unknown - self._unknown):
            _log.error(
                "routes: they name the carrier %r, which is not among this app's settings; its jobs go to %r",
                name,
                self.carriers[0],
            )
        self._unknown = frozenset(unknown)
        if self._adopted is not None:
            self._adopted()


def _known(routes: Mapping[str, Route], carriers: tuple[str, ...]) -> dict[str, Route]:
    """Return the routes with the first carrier in the place of those that are not there."""
    known = set(carriers)
    return {
        queue: route
        if known.issuperset(route.weights)
        else Route(
            queue,
            tuple((name if name in known else carriers[0], count) for name, count in route.runs),
            route.by,
        )
        for queue, route in routes.items()
    }


def _name(job: NewJob) -> str | None:
    """Return what places the job beside others of its name; None: its id does."""
    if job.unique is not None:
        return job.unique.key
    return job.key if job.fire is None else job.fire.schedule
