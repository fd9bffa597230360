"""The check of an app's schedules: whether the carrier knows them, and whether their jobs can be made now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway.app.scheduleinfo import made_info
from headway.cli.doctor.finding import Finding, error, ok, warn
from headway.clock import SystemClock, from_ms
from headway.raised import in_one_line
from headway.schedules.fires import MAX_AHEAD_MS
from headway.schedules.schedule import next_wake
from headway.service import must_go_on

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.brokers.base import Store


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """What was seen of the schedules that an app declares."""

    declared: int = 0
    unknown: tuple[str, ...] = ()  # to the carrier
    broken: tuple[str, ...] = ()  # with what their jobs meet when they are made
    ahead: tuple[str, ...] = ()  # whose last fire lies in the future
    made: int = 0  # at run time


def check_schedules(facts: ScheduleFacts) -> Finding:
    """A schedule that fires no more says so nowhere but in the log of the workers."""
    if facts.broken:
        what = f"no job can be made: {'; '.join(facts.broken)}"
        return error(
            "schedules",
            what,
            "mend what their tasks or options raise, delete those made at run time; the others fire all the same",
        )
    if facts.unknown:
        what = f"declared here, not known to the carrier: {', '.join(facts.unknown)}"
        return warn(
            "schedules",
            what,
            "workers of this version declare them within a minute; if they run, another version took them away since",
        )
    if facts.ahead:
        what = f"the last fire lies in the future: {', '.join(facts.ahead)}"
        return warn(
            "schedules", what, "set the clocks of the hosts; workers count from now on within a minute"
        )
    declared = (
        f"{facts.declared} declared, all known to the carrier" if facts.declared else "none is declared"
    )
    return ok("schedules", f"{declared}; {facts.made} made at run time" if facts.made else declared)


async def schedule_facts(app: Headway | None, carrier: Store) -> ScheduleFacts:
    """Ask an open carrier, and make each job once without enqueueing it."""
    if app is None:
        return ScheduleFacts()
    known = {record.name: record for record in await carrier.schedules()}
    now_ms = SystemClock().now_ms()
    broken: list[str] = []
    for name, scheduled in app.schedules.items():
        try:
            next_wake(scheduled.schedule, None, from_ms(now_ms))
            scheduled.job_now()
        except BaseException as problem:
            if must_go_on(problem):
                raise
            broken.append(f"{name} ({in_one_line(problem)})")
    made = [
        made_info(one, app, from_ms(now_ms), shadowed=one.name in app.schedules)
        for one in await carrier.made_schedules()
        if not one.deleted
    ]
    broken += [f"{one.name} ({one.problem})" for one in made if one.problem]
    return ScheduleFacts(
        made=len(made),
        declared=len(app.schedules),
        unknown=tuple(name for name in app.schedules if name not in known),
        broken=tuple(broken),
        ahead=tuple(
            name
            for name in app.schedules
            if name in known and (known[name].last_fire_ms or 0) > now_ms + MAX_AHEAD_MS
        ),
    )
