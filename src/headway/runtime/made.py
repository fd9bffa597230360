"""Fire times of schedules made at run time become jobs, as `scheduler` does it for those in the code."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import structs

from headway.app.making import job_of
from headway.clock import from_ms, to_ms
from headway.errors import BrokerUnavailableError, CodecError, UnknownTaskError
from headway.job import Fire
from headway.raised import in_one_line, trace_of
from headway.runtime.scheduler import MAX_CATCH_UP, Looked
from headway.schedules.fires import MAX_AHEAD_MS
from headway.schedules.made import Definition, decode_definition, next_fire, owed
from headway.service import must_go_on

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.brokers.base import MadeSchedule
    from headway.job import NewJob
    from headway.service import Remarks

_log = logging.getLogger("headway.scheduler")
LOOK: Final = 10.0  # seconds at the most until the next look: so long a change may stay unknown here
_AGAIN: Final = 10.0  # seconds until one that failed is looked at again
_BATCH: Final = 200  # jobs of one enqueue: hundreds of schedules may be due in one second
_BREATH: Final = 50  # schedules that are looked into before others on the event loop have a turn
_NEVER: Final = 2**62
_Jobs = list[tuple[str, "NewJob"]]  # with the names of their schedules


class _Known(NamedTuple):
    """A schedule as it was last looked into: nothing is due before `next_ms`, as long as neither changes."""

    revision: int
    definition: Definition
    last_ms: int | None = None
    next_ms: int = 0

    def rests(self, made: MadeSchedule, now_ms: int) -> bool:
        """Tell without a look into it that nothing is due: of thousands, few are due at a time."""
        return now_ms < self.next_ms and self.revision == made.revision and self.last_ms == made.last_fire_ms


class MadeScheduler:
    """Enqueues the jobs of schedules made at run time, look by look. Any number of them may run."""

    def __init__(self, app: Headway, remarks: Remarks) -> None:
        """What is wrong with single schedules becomes a remark; they keep none of the others from firing."""
        self._app = app
        self._remarks = remarks
        self._known: dict[str, _Known] = {}

    async def round(self) -> float:
        """Look; return the seconds until the next time."""
        return (await self.look()).pause

    async def look(self) -> Looked:
        """Enqueue what is due. Only what concerns all schedules raises: the carrier cannot be asked."""
        made = [one for one in await self._app.carrier.made_schedules() if not one.deleted]
        names = {one.name for one in made}
        self._known = {name: known for name, known in self._known.items() if name in names}
        now_ms = self._app.clock.now_ms()
        wake = LOOK
        errors: dict[str, BaseException] = {}
        due: _Jobs = []
        looked_into = 0
        for one in made:
            known = self._known.get(one.name)
            if known is not None and known.rests(one, now_ms):
                wake = min(wake, (known.next_ms - now_ms) / 1000)
                continue
            looked_into += 1
            if not looked_into % _BREATH:
                await asyncio.sleep(0)
            try:
                jobs, odd, seconds = await self._due(one, now_ms)
            except BaseException as error:
                if must_go_on(error) or self._stops_all(error):
                    raise
                self._failed(one.name, error)
                errors[one.name] = error
                wake = min(wake, _AGAIN)
                continue
            wake = min(wake, seconds)
            due += [(one.name, job) for job in jobs]
            if odd:
                self._remarks.say(_entry(one.name), odd)
            elif not jobs:
                self._remarks.well(_entry(one.name))
        for first in range(0, len(due), _BATCH):
            errors |= await self._enqueue(due[first : first + _BATCH])
        if errors:
            wake = min(wake, _AGAIN)
        # The clock has gone on since `now`; waking a moment early would find nothing due.
        return Looked(max(0.0, wake - (self._app.clock.now_ms() - now_ms) / 1000) + 0.001, errors)

    async def _due(self, made: MadeSchedule, now_ms: int) -> tuple[list[NewJob], str, float]:
        """Return the jobs that one schedule owes, what is odd about it, and the seconds until it is due next."""
        if made.name in self._app.schedules:
            return (
                [],
                "was made at run time and stands in the code too: that one fires, delete this one",
                LOOK,
            )
        known = self._known.get(made.name)
        if known is None or known.revision != made.revision:
            known = _Known(made.revision, decode_definition(made.body))
        self._known[made.name] = known = known._replace(next_ms=0)
        definition = known.definition
        if definition.paused:
            self._known[made.name] = known._replace(last_ms=made.last_fire_ms, next_ms=_NEVER)
            return [], "", LOOK
        odd, last_ms = "", made.last_fire_ms
        soon = now_ms + MAX_AHEAD_MS
        if max(definition.since_ms, last_ms or 0) > soon:
            # Written by a host whose clock was ahead, or ours is behind: then the carrier knows better, and keeps it.
            odd = (
                "counts from an instant in the future of this host's clock; its fire times count from now on"
            )
            if last_ms is None or last_ms > soon:
                await self._app.carrier.skip_fire(Fire(made.name, now_ms))
                last_ms = now_ms
            if definition.since_ms > soon:  # what was skipped stands in its place
                definition = structs.replace(definition, since_ms=0)
        now = from_ms(now_ms)
        fires = owed(definition, last_ms, now, limit=MAX_CATCH_UP)
        jobs = [job_of(self._app, made.name, definition, to_ms(fire)) for fire in fires]
        following = next_fire(definition, last_ms, now)
        next_ms = _NEVER if following is None else to_ms(following)
        if not jobs and not odd:
            self._known[made.name] = known._replace(last_ms=made.last_fire_ms, next_ms=next_ms)
        return jobs, odd, (next_ms - now_ms) / 1000

    async def _enqueue(self, due: _Jobs) -> dict[str, BaseException]:
        """Enqueue them in one call; where that fails each by itself, so that one keeps no other from being made."""
        try:
            await self._accept(due)
        except BaseException as error:
            if must_go_on(error) or self._stops_all(error):
                raise
        else:
            return {}
        errors: dict[str, BaseException] = {}
        for name, job in due:
            try:
                await self._accept([(name, job)])
            except BaseException as error:
                if must_go_on(error) or self._stops_all(error):
                    raise
                self._failed(name, error)
                errors[name] = error
        return errors

    async def _accept(self, due: _Jobs) -> None:
        carrier, offload = self._app.carrier, self._app.offload
        jobs = [job for _, job in due]
        if offload is not None:
            jobs = await offload.shrunk(jobs, carrier.capabilities.max_payload)
        for (name, _), answer in zip(due, await carrier.enqueue(jobs), strict=True):
            self._remarks.well(_entry(name))
            if answer.duplicate_of is None:
                _log.info("schedule %r fired: job %s", name, answer.id)

    def _stops_all(self, error: BaseException) -> bool:
        """Tell whether the carrier of all their jobs is away; of several, another one may take the next job."""
        return len(self._app.carriers) == 1 and isinstance(error, BrokerUnavailableError)

    def _failed(self, name: str, error: BaseException) -> None:
        what = f"has made no job, looked at again every {_AGAIN:.0f} s: {in_one_line(error)}"
        known = isinstance(error, UnknownTaskError | CodecError)  # what is said of these says all
        self._remarks.say(_entry(name), what, level=logging.ERROR, detail="" if known else trace_of(error))


def _entry(name: str) -> str:
    return f"schedule {name!r}, made at run time"
