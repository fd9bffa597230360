"""Jobs: searched, looked at, acted on one by one or those that are marked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from headway.clock import from_ms
from headway.dashboard.asking import Done, states_of
from headway.dashboard.timeline import timeline
from headway.job import JobId, JobState
from headway.server.services.changing import JobChange
from headway.server.services.job_acts import JobAct
from headway.server.services.jobs import JobSearch
from headway.server.services.problems import InvalidError

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked
    from headway.server.services.job_views import Job

PAGE: Final = 50
_SHOWN: Final = 20_000  # characters of arguments or a result on the page; the rest on request
_SAID: Final = {
    JobAct.CANCEL: "cancelled",
    JobAct.RETRY: "retried",
    JobAct.PROMOTE: "made ready",
    JobAct.REMOVE: "removed",
}


async def jobs(asked: Asked) -> str:
    """Return the page that lists them."""
    search = _search(asked)
    page = await asked.services.jobs.list(asked.caller, search, after=asked.one("after") or None, limit=PAGE)
    tasks = asked.services.tasks.list(asked.caller)
    return asked.render(
        "jobs",
        "Jobs",
        jobs=page.jobs,
        arguments=[short_arguments(one) for one in page.jobs],
        first=asked.link(after=None) if asked.one("after") else "",
        next=asked.link(after=page.cursor) if page.cursor else "",
        states=list(JobState),
        tasks=[one.name for one in tasks],
        queues=sorted(asked.services.app.queues),
        tags=sorted({tag for one in tasks for tag in one.tags}),
        chosen={name: asked.one(name) for name in ("task", "queue", "state", "tag", "search")},
    )


async def job(asked: Asked) -> str:
    """Return the page of one job."""
    job_id = JobId(asked.path["job"])
    found, lines = await asyncio.gather(
        asked.services.jobs.get(asked.caller, job_id), asked.services.jobs.logs(asked.caller, job_id)
    )
    whole = asked.one("whole") == "1"
    return asked.render(
        "job",
        f"Job {found.id}",
        job=found,
        steps=timeline(found),
        arguments=shown({"args": found.args, "kwargs": found.kwargs}, whole=whole),
        result=shown(found.result, whole=whole) if found.state is JobState.SUCCEEDED else None,
        whole=whole,
        lines=lines[-1000:],
        waits=found.state in {JobState.READY, JobState.SCHEDULED},
        JobState=JobState,
    )


async def act_on_marked(asked: Asked) -> Done:
    """Cancel, retry, promote or remove the marked ones."""
    act = _act(asked)
    ids = [JobId(one) for one in asked.fields("job")]
    if not ids:
        msg = "no job is marked: nothing was done"
        raise InvalidError(msg)
    told = await asked.services.job_acts.many(asked.caller, act, ids, asked.field("reason"))
    done = sum(one.done for one in told)
    left = len(told) - done
    said = f"{done:,} {'job was' if done == 1 else 'jobs were'} {_SAID[act]}"
    return Done(f"{said}; {left:,} could not be, in the state that they are in." if left else f"{said}.")


async def act_on_job(asked: Asked) -> Done:
    """Cancel, retry, promote or remove one."""
    act = _act(asked)
    told = await asked.services.job_acts.one(
        asked.caller, act, JobId(asked.path["job"]), asked.field("reason")
    )
    if act is JobAct.CANCEL and told.state is JobState.RUNNING:
        return Done("The job runs: it was asked to end.")
    return Done(f"The job was {_SAID[act]}.", go="/jobs" if act is JobAct.REMOVE else "")


async def change_job(asked: Asked) -> Done:
    """Change the priority or the due time of one that waits."""
    delay = asked.duration_ms("delay")
    changes: dict[str, Any] = {}
    if asked.field("priority"):
        try:
            changes["priority"] = int(asked.field("priority"))
        except ValueError as error:
            msg = "priority: must be a whole number"
            raise InvalidError(msg) from error
    if delay is not None:
        changes["due_at"] = from_ms(asked.now_ms + delay)
    if not changes:
        msg = "give a priority, a delay or both"
        raise InvalidError(msg)
    await asked.services.changing.change(asked.caller, JobId(asked.path["job"]), JobChange(**changes))
    return Done("The job was changed.")


def _act(asked: Asked) -> JobAct:
    try:
        return JobAct(asked.field("act"))
    except ValueError as error:
        msg = f"act: must be one of {', '.join(JobAct)}"
        raise InvalidError(msg) from error


def _search(asked: Asked) -> JobSearch:
    return JobSearch(
        state=states_of(asked.every("state")),
        queue=asked.every("queue"),
        task=asked.every("task"),
        tag=asked.every("tag"),
        search=asked.one("search") or None,
    )


def shown(value: object, *, whole: bool) -> tuple[str, int]:
    """Return a value as people read JSON, cut unless the whole is asked for, and how many characters were left out."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return (text, 0) if whole or len(text) <= _SHOWN else (text[:_SHOWN], len(text) - _SHOWN)


def short_arguments(found: Job) -> str:
    """Return the arguments in one line, cut."""
    if found.unreadable:
        return "(cannot be read)"
    parts = [_one_line(one) for one in found.args]
    parts += [f"{name}={_one_line(value)}" for name, value in found.kwargs.items()]
    text = ", ".join(parts)
    return f"{text[:120]}…" if len(text) > 120 else text  # noqa: PLR2004 - of a line


def _one_line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:200]
