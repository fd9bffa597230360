"""Workers: who runs jobs now, and what each of them holds; one is drained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headway.dashboard.asking import Done
from headway.job import JobState
from headway.server.services.jobs import JobSearch

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked
    from headway.server.services.job_views import Job

_RUNNING: Final = 200


async def workers(asked: Asked) -> str:
    """Return the page."""
    found, running = await asyncio.gather(
        asked.services.workers.list(asked.caller),
        asked.services.jobs.list(asked.caller, JobSearch(state=(JobState.RUNNING,)), limit=_RUNNING),
    )
    by_worker: dict[str, list[Job]] = {}
    for one in running.jobs:
        by_worker.setdefault(one.worker or "", []).append(one)
    ordered = sorted(found, key=lambda one: (-one.holds, one.id))
    return asked.render(
        "workers",
        "Workers",
        workers=ordered,
        running=by_worker,
        more=running.cursor is not None,
        shown=_RUNNING,
        pushed=[
            name for name, store in asked.services.app.carriers.items() if store.capabilities.push is not None
        ],
    )


async def drain(asked: Asked) -> Done:
    """Ask one to claim no more, finish what it runs, and end."""
    drained = await asked.services.workers.drain(asked.caller, asked.path["worker"])
    return Done(
        f"Worker {drained.id} drains. It goes when what it runs has ended, or its grace time is over."
    )
