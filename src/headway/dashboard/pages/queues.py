"""Queues: what is in them, paused and resumed, emptied, cleaned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headway.clock import from_ms
from headway.dashboard.asking import Done, states_of
from headway.dashboard.pages.overview import read, waiting
from headway.dashboard.spans import instants, laid, span_of
from headway.job import JobState
from headway.server.services.figures import By
from headway.server.services.problems import InvalidError

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked

PAGE: Final = 100


async def queues(asked: Asked) -> str:
    """Return the page: the queues that hold most first, by pages."""
    span = span_of("1h")
    found, figures = await asyncio.gather(
        asked.services.queues.list(asked.caller), read(asked, span, By.QUEUE)
    )
    part = asked.one("search").lower()
    fitting = sorted(
        (one for one in found if part in one.name.lower()), key=lambda one: (-waiting(one), one.name)
    )
    start = int(asked.one("from")) if asked.one("from").isdecimal() else 0
    at = instants(span, asked.now_ms)
    shown = fitting[start : start + PAGE]
    by_queue = {one.name: [figure for figure in figures if figure.queue == one.name] for one in shown}
    return asked.render(
        "queues",
        "Queues",
        queues=shown,
        ended={
            name: [value or 0.0 for value in laid(at, some, lambda one: one.succeeded + one.failed)]
            for name, some in by_queue.items()
        },
        routes={one.queue: one.weights for one in (await asked.services.routes.show(asked.caller)).routes},
        several=len(asked.services.app.carriers) > 1,
        search=asked.one("search"),
        count=len(fitting),
        first=asked.link(**{"from": None}) if start else "",
        next=asked.link(**{"from": str(start + PAGE)}) if start + PAGE < len(fitting) else "",
        JobState=JobState,
    )


async def pause(asked: Asked) -> Done:
    """Pause one, for a while or until it is resumed."""
    name, length = asked.path["queue"], asked.duration_ms("until")
    until = None if length is None else from_ms(asked.now_ms + length)
    await asked.services.queues.pause(asked.caller, name, until)
    ends = "until somebody resumes it" if until is None else f"for {asked.field('until')}"
    return Done(f"Queue {name} is paused {ends}. Running jobs go on.")


async def resume(asked: Asked) -> Done:
    """Resume one."""
    name = asked.path["queue"]
    await asked.services.queues.resume(asked.caller, name)
    return Done(f"Queue {name} goes on.")


async def drain(asked: Asked) -> Done:
    """Remove all jobs that wait in it."""
    name = asked.path["queue"]
    emptied = await asked.services.queues.drain(asked.caller, name)
    return Done(f"{emptied.removed:,} waiting jobs of queue {name} were removed.")


async def clean(asked: Asked) -> Done:
    """Remove jobs of it that ended."""
    name = asked.path["queue"]
    states = states_of((asked.field("state"),))
    if not states:
        msg = "state: must be one in which jobs have ended"
        raise InvalidError(msg)
    older = asked.duration_ms("older") or 0
    emptied = await asked.services.queues.clean(asked.caller, name, states[0], older_than_ms=older)
    more = " There are more: do it again." if emptied.more else ""
    return Done(f"{emptied.removed:,} {states[0]} jobs of queue {name} were removed.{more}")
