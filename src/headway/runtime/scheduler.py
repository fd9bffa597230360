"""Fire times become jobs.

Any number of schedulers may run: the carrier accepts one job per schedule and fire time (promise 6).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.brokers.base import ScheduleRecord
from headway.clock import from_ms, to_ms
from headway.errors import BrokerUnavailableError
from headway.job import Fire
from headway.raised import in_one_line, trace_of
from headway.schedules.fires import MAX_AHEAD_MS
from headway.schedules.schedule import due_fires, next_wake
from headway.service import must_go_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.app.app import Headway
    from headway.app.scheduled import ScheduledTask
    from headway.brokers.base import Store
    from headway.service import Remarks

_log = logging.getLogger("headway.scheduler")
_LONGEST_SLEEP: Final = (
    50.0  # seconds: within a minute a clock that was set is noticed, and a carrier that was emptied
)
_AGAIN: Final = 10.0  # seconds until a schedule that failed is looked at again
MAX_CATCH_UP: Final = 100  # fire times of one schedule after a long downtime, with catch_up="all"


class Looked(Struct, frozen=True):
    """What one look came to: the seconds until the next, and the schedules whose job could not be made or enqueued."""

    pause: float
    errors: dict[str, BaseException]


class Scheduler:
    """Enqueues an app's scheduled jobs at their fire times, look by look."""

    def __init__(self, app: Headway, remarks: Remarks, emptied: Callable[[], None] | None = None) -> None:
        """What is wrong with single schedules becomes a remark; they keep none of the others from firing.

        `emptied` is called when the carrier seems to have lost all its data.
        """
        self._emptied = emptied
        self._app = app
        self._remarks = remarks
        self._declared = False
        self._looked_ms: int | None = None  # up to here nothing is owed

    async def round(self) -> float:
        """Look; return the seconds until the next time."""
        return (await self.look()).pause

    async def declare(self, *, as_of_ms: int | None = None) -> None:
        """Make the schedules known, once; see `declare_schedules`."""
        if not self._declared:
            await declare_schedules(self._app, as_of_ms=as_of_ms)
            self._declared = True

    async def look(self) -> Looked:
        """Enqueue what is due. Only what concerns all schedules raises: the carrier cannot be asked."""
        await self.declare()
        carrier = self._app.carrier
        known = {record.name: record for record in await carrier.schedules()}
        if self._app.schedules and (not known or any(_damaged(record) for record in known.values())):
            what = "damaged" if known else "not known any more"
            _log.warning(
                "the schedules of app %r are %s in the carrier (was it emptied?); they are declared anew",
                self._app.name,
                what,
            )
            await declare_schedules(self._app, as_of_ms=self._looked_ms)
            if self._emptied is not None and not known:
                self._emptied()
            known = {record.name: record for record in await carrier.schedules()}
        now_ms = self._app.clock.now_ms()
        wake = _LONGEST_SLEEP
        errors: dict[str, BaseException] = {}
        for scheduled in self._app.schedules.values():
            entry = f"schedule {scheduled.name!r}"
            try:
                odd, seconds = await self._fire(scheduled, known.get(scheduled.name), now_ms)
                wake = min(wake, seconds)
                if odd:
                    self._remarks.say(entry, odd)
                else:
                    self._remarks.well(entry)
            except BaseException as error:
                alone = (
                    len(self._app.carriers) == 1
                )  # of several, another one may take the next schedule's job
                if must_go_on(error) or (alone and isinstance(error, BrokerUnavailableError)):
                    raise
                what = f"has made no job, looked at again every {_AGAIN:.0f} s: {in_one_line(error)}"
                self._remarks.say(entry, what, level=logging.ERROR, detail=trace_of(error))
                errors[scheduled.name] = error
                wake = min(wake, _AGAIN)
        self._looked_ms = now_ms
        # The clock has gone on since `now`; waking a moment early would find nothing due.
        return Looked(max(0.0, wake - (self._app.clock.now_ms() - now_ms) / 1000) + 0.001, errors)

    async def _fire(
        self, scheduled: ScheduledTask, record: ScheduleRecord | None, now_ms: int
    ) -> tuple[str, float]:
        """Enqueue what is due of one schedule; return what is odd about it, and the seconds until the next."""
        odd = ""
        carrier = self._app.carrier
        if record is None:
            # Undeclared by another version of the app: that one has the say until we are started again.
            return (
                "not known to the carrier: another version of the app declared its own schedules",
                _LONGEST_SLEEP,
            )
        base_ms = record.last_fire_ms if record.last_fire_ms is not None else record.declared_ms or now_ms
        if base_ms > now_ms + MAX_AHEAD_MS:
            # Written by a host whose clock was ahead, or ours is behind: then the carrier knows better, and keeps it.
            odd = "its last fire lies in the future of this host's clock; its fire times count from now on"
            await carrier.skip_fire(Fire(scheduled.name, now_ms))
            base_ms = now_ms
        base, now = from_ms(base_ms), from_ms(now_ms)
        fires = due_fires(scheduled.schedule, base, now, scheduled.catch_up, limit=MAX_CATCH_UP)
        if fires and record.paused:
            await carrier.skip_fire(Fire(scheduled.name, to_ms(fires[-1])))
        elif fires:
            await _enqueue(carrier, scheduled, [to_ms(fire) for fire in fires])
        done = max(base, now)
        return odd, (next_wake(scheduled.schedule, done, now) - now).total_seconds()


async def declare_schedules(app: Headway, *, as_of_ms: int | None = None) -> None:
    """Make the app's schedules known to the carrier. One whose times changed owes nothing for the time before.

    `as_of_ms` (default: now) is the instant from which new and changed ones count, in milliseconds since 1970 UTC.
    """
    carrier = app.carrier
    now = app.clock.now_ms() if as_of_ms is None else as_of_ms
    known = {record.name: record for record in await carrier.schedules() if not _damaged(record)}
    # One that is known keeps its age: what it missed while no scheduler ran is still due, also across a deployment.
    await carrier.declare_schedules(
        [
            _record(scheduled, known[scheduled.name].declared_ms if scheduled.name in known else now)
            for scheduled in app.schedules.values()
        ]
    )
    for scheduled in app.schedules.values():
        before = known.get(scheduled.name)
        if before is not None and before.spec != str(scheduled.schedule):
            await carrier.skip_fire(Fire(scheduled.name, now))


async def _enqueue(carrier: Store, scheduled: ScheduledTask, fires: list[int]) -> None:
    jobs = [scheduled.job_at(fire) for fire in fires]
    if (offload := scheduled.task.app.offload) is not None:
        jobs = await offload.shrunk(jobs, carrier.capabilities.max_payload)
    for answer in await carrier.enqueue(jobs):
        if answer.duplicate_of is None:
            _log.info("schedule %r fired: job %s", scheduled.name, answer.id)


def _record(scheduled: ScheduledTask, declared_ms: int) -> ScheduleRecord:
    return ScheduleRecord(
        name=scheduled.name, spec=str(scheduled.schedule), task=scheduled.task.name, declared_ms=declared_ms
    )


def _damaged(record: ScheduleRecord) -> bool:
    """Tell whether the carrier could read no more of it than its name."""
    return not record.spec and not record.task
