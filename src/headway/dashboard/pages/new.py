"""A new job: any task, by a form that is made from its signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from headway.app.hiding import HIDDEN
from headway.dashboard.asking import Done, Shown
from headway.dashboard.fields import beside, fields_of, raw_arguments, refilled, values_of
from headway.dashboard.pages import new_http
from headway.errors import HeadwayError
from headway.job import JobId
from headway.server.services.creating import CreateJob
from headway.server.services.http_jobs import HTTP_TASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.dashboard.asking import Asked
    from headway.server.services.tasks import TaskView


async def new(asked: Asked) -> str:
    """Return the page: the tasks, or the form of the one that is chosen; `like` fills it in as another job was."""
    given: dict[str, Any] = {}
    name = asked.one("task")
    if like := asked.one("like"):
        job = await asked.services.jobs.get(asked.caller, JobId(like))
        name = job.task
        if name == HTTP_TASK and job.args and isinstance(job.args[0], dict):
            return new_http.form(asked, cast("dict[str, Any]", job.args[0]))
        task = asked.services.tasks.get(asked.caller, name)
        names = [one.name for one in fields_of(task.arguments, {})]
        given = {**dict(zip(names, job.args, strict=False)), **job.kwargs}
        given = {name: value for name, value in given.items() if not _has_hidden(value)}
    if name == HTTP_TASK:
        return new_http.form(asked, {})
    return _page(asked, name, given)


async def create(asked: Asked) -> Done | Shown:
    """Enqueue it; what is wrong is said on the form, which keeps what was filled in."""
    task = asked.services.tasks.get(asked.caller, asked.needed("task"))
    if task.name == HTTP_TASK:
        return await new_http.create(asked)
    try:
        given = values_of(fields_of(task.arguments, {}), asked.form)
        created = await asked.services.creating.create(asked.caller, _job(asked, task.name, given))
    except HeadwayError as error:
        return Shown(_page(asked, task.name, {}, str(error)), 422)
    said = "There is such a job already: this is it." if created.duplicate else "The job was enqueued."
    return Done(said, go=f"/jobs/{created.id}")


def _has_hidden(value: object) -> bool:
    """Tell whether something of it is hidden: what stands in its place is no argument for another job."""
    match value:
        case str():
            return value == HIDDEN
        case dict():
            return any(_has_hidden(one) for one in cast("dict[str, object]", value).values())
        case list():
            return any(_has_hidden(one) for one in cast("list[object]", value))
        case _:
            return False


def _job(asked: Asked, task: str, given: Mapping[str, Any]) -> CreateJob:
    return CreateJob(task=task, kwargs=raw_arguments(given), options=new_http.options_of(asked))


def _page(asked: Asked, name: str, given: Mapping[str, Any], wrong: str = "") -> str:
    tasks = asked.services.tasks.list(asked.caller)
    task: TaskView | None = asked.services.tasks.get(asked.caller, name) if name else None
    fields = [] if task is None else refilled(fields_of(task.arguments, given), asked.form, wrong)
    odd = beside(wrong, new_http.OPTIONS)
    return asked.render(
        "new",
        "New job",
        tasks=tasks,
        task=task,
        fields=fields,
        wrong=new_http.MARKED if odd or any(one.wrong for one in fields) else wrong,
        odd=new_http.shown(odd, *new_http.OPTIONS),
        kept={name: asked.field(name) for name in new_http.OPTIONS},
        http=HTTP_TASK if any(one.name == HTTP_TASK for one in tasks) else "",
    )
