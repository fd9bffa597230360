"""Pause and resume queues and schedules, by the names that the app has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.gcp.desired import namespace_of, queue_ids
from headway.gcp.errors import NotThereError
from headway.gcp.naming import schedule_id
from headway.gcp.records import open_records
from headway.gcp.resources import CloudSchedule, Kind, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.app.app import Headway
    from headway.gcp.cloud import Cloud
    from headway.gcp.records import Records
    from headway.gcp.resources import Key, Resource, Seen


async def switch(
    app: Headway,
    wanted: Sequence[Resource],
    seen: Sequence[Seen],
    cloud: Cloud,
    *,
    names: Sequence[str],
    paused: bool,
    warn: Callable[[str], None],
) -> list[str]:
    """Pause or resume these (none: all of the app's) and return what was changed.

    A schedule's record is paused and resumed too; `warn` is told where it cannot be reached. NotThereError names what
    is neither a queue nor a schedule, or is not there yet.
    """
    declared = {key_of(one) for one in wanted}
    # A queue that is not declared and that Headway did not make is left alone.
    ours = [one for one in seen if not one.foreign or key_of(one.resource) in declared]
    there = {key_of(one.resource): one for one in ours}
    if names:
        chosen = [key for name in dict.fromkeys(names) for key in _keys(app, name, there)]
    else:
        chosen = [(one.kind, one.name) for one in wanted if (one.kind, one.name) in there]
    switched: list[str] = []
    async with open_records(app, warn, needed=any(kind is Kind.SCHEDULE for kind, _ in chosen)) as records:
        for kind, name in chosen:
            if await _switch(there[kind, name], cloud, records, paused=paused):
                switched.append(f"{kind} {name}")
    return switched


async def _switch(seen: Seen, cloud: Cloud, records: Records, *, paused: bool) -> bool:
    """Pause or resume one; true when that changed something."""
    resource = seen.resource
    pausable = cloud.pausable(resource.kind)
    if pausable is None:
        return False
    changed = False
    # What makes jobs is stopped first and started last.
    if isinstance(resource, CloudSchedule) and not paused:
        changed = await records.resume(resource.schedule, was_paused=seen.paused)
    if seen.paused is not paused:
        await (pausable.pause(resource.name) if paused else pausable.resume(resource.name))
        changed = True
    if isinstance(resource, CloudSchedule) and paused:
        changed = await records.pause(resource.schedule) or changed
    return changed


def _keys(app: Headway, name: str, there: dict[Key, Seen]) -> list[Key]:
    possible = [(Kind.QUEUE, identifier) for identifier in queue_ids(app, name)]
    possible.append((Kind.SCHEDULE, schedule_id(namespace_of(app), name)))
    # Names as status shows them are fine too.
    possible += [(Kind.QUEUE, name), (Kind.SCHEDULE, name)]
    found = [key for key in dict.fromkeys(possible) if key in there]
    if not found:
        queues, schedules = ", ".join(app.queues) or "none", ", ".join(app.schedules) or "none"
        msg = f"there is no {name!r}: the app's queues are {queues}, its schedules {schedules}; apply creates them"
        raise NotThereError(msg)
    return found
