"""Pause and resume queues and schedules, by the names that the app has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import ConfigError
from headway.gcp.desired import namespace_of, queue_ids
from headway.gcp.naming import schedule_id
from headway.gcp.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.app import Headway
    from headway.gcp.cloud import Cloud
    from headway.gcp.resources import Resource, Seen


async def switch(
    app: Headway,
    wanted: Sequence[Resource],
    seen: Sequence[Seen],
    cloud: Cloud,
    *,
    names: Sequence[str],
    paused: bool,
) -> list[str]:
    """Pause or resume these (none: all of the app's) and return what was changed.

    ConfigError names the ones that neither a queue nor a schedule has, or that are not there yet.
    """
    there = {(one.resource.kind, one.resource.name): one for one in seen}
    if names:
        chosen = [key for name in dict.fromkeys(names) for key in _keys(app, name, there)]
    else:
        chosen = [(one.kind, one.name) for one in wanted if (one.kind, one.name) in there]
    switched: list[str] = []
    for kind, name in chosen:
        pausable = cloud.pausable(kind)
        if pausable is not None and there[kind, name].paused is not paused:
            await (pausable.pause(name) if paused else pausable.resume(name))
            switched.append(f"{kind} {name}")
    return switched


def _keys(app: Headway, name: str, there: dict[tuple[Kind, str], Seen]) -> list[tuple[Kind, str]]:
    possible = [(Kind.QUEUE, identifier) for identifier in queue_ids(app, name)]
    possible.append((Kind.SCHEDULE, schedule_id(namespace_of(app), name)))
    # Names as status shows them are fine too.
    possible += [(Kind.QUEUE, name), (Kind.SCHEDULE, name)]
    found = [key for key in dict.fromkeys(possible) if key in there]
    if not found:
        queues, schedules = ", ".join(app.queues) or "none", ", ".join(app.schedules) or "none"
        msg = f"there is no {name!r}: the app's queues are {queues}, its schedules {schedules}; apply creates them"
        raise ConfigError(msg)
    return found
