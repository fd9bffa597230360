"""`headway jobs`, with `list` and `show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.ids import checked_ids
from headway.cli.job_acts import cancel, promote, remove, retry
from headway.cli.job_watch import watch
from headway.cli.options import examples, json_option
from headway.cli.streams import say
from headway.cli.target import Target, takes_target, with_target
from headway.job import JobState

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.brokers.base import JobPage
    from headway.cli.target import OpenTarget

_STATES: Final = [state.value for state in JobState]
_PAGE: Final = 1000
_LONG: Final = 5000  # characters of a value that a person is shown


@click.group(
    epilog=examples(
        "headway jobs list --app shop.jobs:app --state failed", "headway jobs watch --app shop.jobs:app"
    )
)
def jobs() -> None:
    """List, show, retry, cancel, promote, remove and watch jobs."""


@jobs.command(
    "list",
    epilog=examples(
        "headway jobs list --app shop.jobs:app",
        "headway jobs list --app shop.jobs:app --state failed --state expired --queue email",
        "headway jobs list --url redis://localhost --namespace shop --search welcome --json",
    ),
)
@click.option(
    "--state", "states", type=click.Choice(_STATES), multiple=True, help="Only in this state; may repeat."
)
@click.option("--queue", "queues", multiple=True, help="Only of this queue; may repeat.")
@click.option("--task", help="Only of this task.")
@click.option("--tag", "tags", multiple=True, help="Only of tasks with this tag; may repeat. Needs --app.")
@click.option("--search", help="Only with this in the id, the task or the key.")
@click.option(
    "--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="At most so many."
)
@click.option("--after", metavar="CURSOR", help="Go on behind the page whose JSON ended with this cursor.")
@json_option("the jobs and the cursor of the next page")
@takes_target
def list_jobs(  # noqa: PLR0913 - each is an option of its own
    target: Target,
    *,
    states: tuple[str, ...],
    queues: tuple[str, ...],
    task: str | None,
    tags: tuple[str, ...],
    search: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List jobs; of one state, the last to finish come first.

    For each job: the worker that has or had it, how far it said it is, and the reason it was given, or its last error.
    """
    from headway.brokers.base import JobPage, JobQuery
    from headway.cli.output import print_json
    from headway.cli.render import job_fields

    async def read(opened: OpenTarget) -> tuple[JobPage, Headway | None]:
        tasks = _tasks(opened, task, tags)
        if tasks is None:
            return JobPage([]), opened.app
        query = JobQuery(tuple(JobState(state) for state in states), queues, tasks, search)
        return await opened.carrier.list(query, after=after, limit=limit), opened.app

    page, app = with_target(target, read)
    if as_json:
        print_json({"jobs": [job_fields(job, app) for job in page.jobs], "cursor": page.cursor})
    else:
        _print_page(page, app)


def _tasks(opened: OpenTarget, task: str | None, tags: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the tasks to look for, none named for all of them; None: no task fulfils both conditions."""
    named = () if task is None else (task,)
    if not tags:
        return named
    if opened.app is None:
        msg = "--tag needs the app, because tags are declared with its tasks: give --app module:name"
        raise click.UsageError(msg)
    from headway.app.managing import tasks_tagged

    return tuple(one for one in tasks_tagged(opened.app, tags) if one in named or not named) or None


def _print_page(page: JobPage, app: Headway | None) -> None:
    from headway.cli.output import Column, print_table, state_colour
    from headway.cli.render import progress_text, relative, tags_of, why_text
    from headway.clock import SystemClock

    now = SystemClock().now_ms()
    print_table(
        [
            Column("id", whole=True),  # people copy it into the next command
            Column("state", colour=state_colour),
            Column("queue"),
            Column("task"),
            Column("tags", optional=True),
            Column("try", right=True),
            Column("enqueued", right=True),
            Column("due", right=True, optional=True),
            Column("finished", right=True, optional=True),
            Column("worker", optional=True),
            Column("progress", optional=True),
            Column("why", least=40, optional=True),
        ],
        [
            [
                job.id,
                job.state.value,
                job.queue,
                job.task,
                ", ".join(tags_of(job, app)),
                str(job.attempt),
                relative(job.enqueued_ms, now),
                relative(job.due_ms, now) if job.state is JobState.SCHEDULED else "",
                "" if job.finished_ms is None else relative(job.finished_ms, now),
                job.worker or "",
                progress_text(job),
                why_text(job),
            ]
            for job in page.jobs
        ],
        empty="no such jobs",
    )
    if page.cursor is not None:
        say(f"there are more: --after {page.cursor}")


@jobs.command(
    epilog=examples(
        "headway jobs show 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app",
        "headway jobs show 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app --json",
    )
)
@click.argument("job_id", metavar="ID")
@json_option("the job")
@takes_target
def show(target: Target, *, job_id: str, as_json: bool) -> None:
    """Show all that is known of a job: its arguments, result, attempts' errors, log."""
    from headway.cli.output import print_fields, print_json
    from headway.cli.render import job_contents, job_fields
    from headway.cli.stored import fetched
    from headway.errors import JobNotFoundError

    (checked,) = checked_ids([job_id])

    async def read(opened: OpenTarget) -> dict[str, Any]:
        (record,) = await opened.carrier.get([checked])
        if record is None:
            raise JobNotFoundError(checked, "not known here: never accepted, removed, or pruned")
        record, unreadable = await fetched(opened, record)
        logs = await opened.carrier.logs(checked)
        return {**job_fields(record, opened.app), **job_contents(record, logs, unreadable)}

    fields = with_target(target, read)
    if as_json:
        print_json(fields)
    else:
        print_fields(
            [(name, _shown(name, value)) for name, value in fields.items() if value not in (None, "", [], {})]
        )


def _shown(name: str, value: Any) -> str:  # noqa: ANN401 - any plain value
    if isinstance(value, str):
        return value
    if name in {"errors", "logs"}:
        return "\n".join(_shown_item(item) for item in value)
    from headway.cli.output import json_text

    text = json_text(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}... ({len(text):,} characters; --json shows all)"


def _shown_item(item: dict[str, Any]) -> str:
    """Show an attempt's error or a line of the log; a traceback goes below it."""
    first = " ".join(
        str(part) for name, part in item.items() if name != "traceback" and part not in (None, "")
    )
    return "\n".join([first, *str(item.get("traceback") or "").splitlines()])


for command in (retry, cancel, promote, remove, watch):
    jobs.add_command(command)
