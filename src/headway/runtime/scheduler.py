"""Fire times become jobs.

Any number of schedulers may run: the carrier accepts one job per schedule and fire time (promise 6).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.base import ScheduleRecord
from headway.clock import from_ms, to_ms
from headway.errors import BrokerError, EnqueueError
from headway.job import Fire
from headway.schedule import due_fires, next_wake

if TYPE_CHECKING:
    from headway.app import Headway
    from headway.brokers.base import Store
    from headway.scheduled import ScheduledTask

_log = logging.getLogger("headway.scheduler")
_LONGEST_SLEEP: Final = 600.0  # seconds: a clock that was set is noticed
_RETRY_PAUSE: Final = 1.0
_MAX_CATCH_UP: Final = 100  # fire times of one schedule after a long downtime, with catch_up="all"


async def run_schedules(app: Headway) -> None:
    """Enqueue the app's scheduled jobs at their fire times until cancelled."""
    declared = False
    while True:
        try:
            if not declared:
                await declare_schedules(app)
                declared = True
            pause = await fire_due(app)
        except BrokerError as error:
            _log.warning("schedules wait for their carrier: %s", error)
            pause = _RETRY_PAUSE
        await asyncio.sleep(pause)


async def declare_schedules(app: Headway, *, as_of_ms: int | None = None) -> None:
    """Make the app's schedules known to the carrier. One whose times changed owes nothing for the time before.

    `as_of_ms` (default: now) is the instant from which new and changed ones count, in milliseconds since 1970 UTC.
    """
    carrier = app.carrier
    now = app.clock.now_ms() if as_of_ms is None else as_of_ms
    known = {record.name: record for record in await carrier.schedules()}
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


async def fire_due(app: Headway) -> float:
    """Enqueue what is due now; return the seconds until the next fire time."""
    carrier = app.carrier
    records = {record.name: record for record in await carrier.schedules()}
    now_ms = app.clock.now_ms()
    now = from_ms(now_ms)
    wake = _LONGEST_SLEEP
    for scheduled in app.schedules.values():
        record = records.get(scheduled.name)
        if record is None:
            # Undeclared by another version of the app: that one has the say until we are started again.
            continue
        base = from_ms(
            record.last_fire_ms if record.last_fire_ms is not None else record.declared_ms or now_ms
        )
        fires = due_fires(scheduled.schedule, base, now, scheduled.catch_up, limit=_MAX_CATCH_UP)
        if fires and record.paused:
            await carrier.skip_fire(Fire(scheduled.name, to_ms(fires[-1])))
        elif fires:
            await _enqueue(carrier, scheduled, [to_ms(fire) for fire in fires])
        done = max(base, now)
        wake = min(wake, (next_wake(scheduled.schedule, done, now) - now).total_seconds())
    # The clock has gone on since `now`; waking a moment early would find nothing due.
    return max(0.0, wake - (app.clock.now_ms() - now_ms) / 1000) + 0.001


async def _enqueue(carrier: Store, scheduled: ScheduledTask, fires: list[int]) -> None:
    try:
        jobs = [scheduled.job_at(fire) for fire in fires]
        if (offload := scheduled.task.app.offload) is not None:
            jobs = await offload.shrunk(jobs, carrier.capabilities.max_payload)
        answers = await carrier.enqueue(jobs)
    except EnqueueError:
        # Its arguments were checked at the declaration: this is a default that changes, and the next fire may do.
        _log.exception("schedule %r: its job was refused", scheduled.name)
        await carrier.skip_fire(Fire(scheduled.name, fires[-1]))
        return
    for answer in answers:
        if answer.duplicate_of is None:
            _log.info("schedule %r fired: job %s", scheduled.name, answer.id)


def _record(scheduled: ScheduledTask, declared_ms: int) -> ScheduleRecord:
    return ScheduleRecord(
        name=scheduled.name, spec=str(scheduled.schedule), task=scheduled.task.name, declared_ms=declared_ms
    )
