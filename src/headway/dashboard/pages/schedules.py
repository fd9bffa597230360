"""Schedules: when they fire next; made at run time, deleted, paused, resumed, run now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headway.dashboard.asking import Done, Shown
from headway.dashboard.fields import beside, fields_of, raw_arguments, refilled, values_of
from headway.dashboard.httpform import KINDS, METHODS
from headway.dashboard.httpform import read as read_http
from headway.dashboard.pages import new_http
from headway.dashboard.pages.overview import read
from headway.dashboard.spans import instants, laid, span_of
from headway.errors import HeadwayError
from headway.server.services.creating import CreateJob
from headway.server.services.figures import By
from headway.server.services.http_jobs import HTTP_TASK, NewHttpJob
from headway.server.services.problems import InvalidError
from headway.server.services.schedules import NewSchedule, Timing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.dashboard.asking import Asked

_WHEN: Final = ("name", "cron", "every", "timezone")
_NONE: Final[Mapping[str, str]] = {}


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


async def new(asked: Asked) -> str:
    """Return the page on which a schedule is made: choose a task, then fill in its form."""
    return _page(asked, asked.one("task"))


async def create(asked: Asked) -> Done | Shown:
    """Make it; what is wrong is said on the form, which keeps what was filled in."""
    task = asked.services.tasks.get(asked.caller, asked.needed("task"))
    wrong: dict[str, str] = {}
    try:
        when = Timing(
            cron=asked.field("cron") or None,
            every=asked.field("every") or None,
            timezone=asked.field("timezone") or None,
        )
        if task.name == HTTP_TASK:
            values, wrong = read_http(new_http.sent(asked))
            if wrong:
                raise InvalidError(new_http.MARKED)
            job = asked.services.http_jobs.job(NewHttpJob(**values))
        else:
            given = values_of(fields_of(task.arguments, {}), asked.form)
            job = CreateJob(task=task.name, kwargs=raw_arguments(given))
        made = await asked.services.schedules.create(
            asked.caller, NewSchedule(name=asked.needed("name"), job=job, when=when)
        )
    except HeadwayError as error:
        return Shown(_page(asked, task.name, str(error), wrong), 422)
    return Done(
        f"Schedule {made.name} was made: every scheduler knows of it within 10 seconds.", go="/schedules"
    )


async def delete(asked: Asked) -> Done:
    """Delete one that was made at run time."""
    name = asked.path["schedule"]
    await asked.services.schedules.delete(asked.caller, name)
    return Done(f"Schedule {name} was deleted. The jobs that it has made stay.")


def _page(asked: Asked, name: str, said: str = "", wrong: Mapping[str, str] = _NONE) -> str:
    task = asked.services.tasks.get(asked.caller, name) if name else None
    http = task is not None and task.name == HTTP_TASK
    fields = [] if task is None or http else refilled(fields_of(task.arguments, {}), asked.form, said)
    odd = {**beside(said, _WHEN), **wrong}
    return asked.render(
        "new-schedule",
        "New schedule",
        tasks=asked.services.tasks.list(asked.caller),
        task=task,
        fields=fields,
        request=new_http.sent(asked) if http else None,
        methods=METHODS,
        kinds=KINDS,
        odd=new_http.shown(odd, *_WHEN),
        wrong=new_http.MARKED if odd or any(one.wrong for one in fields) else said,
        kept={name: asked.field(name) for name in _WHEN},
    )


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
