"""Schedules: when they fire next, paused, resumed, run now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headway.dashboard.asking import Done
from headway.dashboard.pages.overview import read
from headway.dashboard.spans import instants, laid, span_of
from headway.server.services.figures import By

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked


async def schedules(asked: Asked) -> str:
    """Return the page."""
    span = span_of("2d")
    found, figures = await asyncio.gather(
        asked.services.schedules.list(asked.caller), read(asked, span, By.TASK)
    )
    at = instants(span, asked.now_ms)
    by_task = {one.task: [figure for figure in figures if figure.task == one.task] for one in found}
    ended = {
        task: [value or 0.0 for value in laid(at, some, lambda one: one.succeeded + one.failed)]
        for task, some in by_task.items()
    }
    failed = {task: sum(one.failed for one in some) for task, some in by_task.items()}
    return asked.render("schedules", "Schedules", schedules=found, ended=ended, failed=failed)


async def pause(asked: Asked) -> Done:
    """Pause one."""
    name = asked.path["schedule"]
    await asked.services.schedules.switch(asked.caller, name, paused=True)
    return Done(f"Schedule {name} is paused: fire times that come meanwhile are dropped.")


async def resume(asked: Asked) -> Done:
    """Resume one."""
    name = asked.path["schedule"]
    await asked.services.schedules.switch(asked.caller, name, paused=False)
    return Done(f"Schedule {name} goes on with its next fire time.")


async def run(asked: Asked) -> Done:
    """Enqueue its job now."""
    created = await asked.services.schedules.run_now(asked.caller, asked.path["schedule"])
    return Done("Its job was enqueued.", go=f"/jobs/{created.id}")
