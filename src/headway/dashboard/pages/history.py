"""History: jobs found again in the records, by argument, error and more, also after their carriers forgot them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.clock import from_ms
from headway.dashboard.asking import states_of
from headway.dashboard.pages.jobs import PAGE, shown
from headway.dashboard.rendering import tone_of
from headway.job import JobId, JobState
from headway.server.services.problems import CannotError
from headway.server.services.records import RecordSearch

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked

_FILTERS: Final = ("task", "queue", "state", "tag", "argument", "header", "error", "key", "within")
_HAPPENED: Final = {
    "retry": "bad",
    "reclaimed": "bad",
    "superseded": "warn",
    "enqueued": "wait",
    "started": "accent",
}


async def history(asked: Asked) -> str:
    """Return the page on which records are searched; where none are kept it says how to keep some."""
    chosen = {name: asked.one(name) for name in _FILTERS}
    page, cannot = None, ""
    try:
        page = await asked.services.records.search(
            asked.caller, _search(asked), after=asked.one("after") or None, limit=PAGE
        )
    except CannotError as error:
        cannot = str(error)
    return asked.render(
        "history",
        "History",
        cannot=cannot,
        jobs=[] if page is None else page.jobs,
        arguments=[] if page is None else [shown(one.arguments, whole=False)[0][:120] for one in page.jobs],
        chosen=chosen,
        states=list(JobState),
        tasks=[one.name for one in asked.services.tasks.list(asked.caller)],
        queues=sorted(asked.services.app.queues),
        first=asked.link(after=None) if asked.one("after") else "",
        next=asked.link(after=page.cursor) if page is not None and page.cursor else "",
    )


async def record(asked: Asked) -> str:
    """Return all that is recorded of one job: over carriers, attempts, retries by hand and moves."""
    found = await asked.services.records.timeline(asked.caller, JobId(asked.path["job"]))
    return asked.render(
        "record",
        f"History of {found.job.id}",
        job=found.job,
        happenings=[
            {**one, "tone": _HAPPENED.get(one["kind"], tone_of(one["kind"]))} for one in found.happenings
        ],
        executions=found.executions,
        lines=found.logs[-1000:],
        arguments=shown(found.job.arguments, whole=asked.one("whole") == "1"),
    )


def _search(asked: Asked) -> RecordSearch:
    within = asked.within_ms("within")
    return RecordSearch(
        state=states_of(asked.every("state")),
        queue=asked.every("queue"),
        task=asked.every("task"),
        tag=asked.every("tag"),
        argument=asked.every("argument"),
        header=asked.every("header"),
        key=asked.one("key") or None,
        error=asked.one("error"),
        group=asked.one("group") or None,
        since=None if within is None else from_ms(asked.now_ms - within),
    )
