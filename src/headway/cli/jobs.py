"""`headway jobs`: look at jobs and act on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.options import examples, json_option, yes_option
from headway.cli.target import Target, takes_target, with_target
from headway.job import JobId, JobState, is_job_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.brokers.base import Carrier, JobPage
    from headway.cli.target import OpenTarget

_STATES: Final = [state.value for state in JobState]
_PAGE: Final = 1000
_REVIVABLE: Final = (JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED)


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
@click.option("--search", help="Only with this in the id, the task or the key.")
@click.option(
    "--limit", type=click.IntRange(1, _PAGE), default=50, show_default=True, help="At most so many."
)
@click.option("--after", metavar="CURSOR", help="Go on behind the page whose JSON ended with this cursor.")
@json_option("the jobs and the cursor of the next page")
@takes_target
def list_jobs(
    target: Target,
    *,
    states: tuple[str, ...],
    queues: tuple[str, ...],
    task: str | None,
    search: str | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List jobs; of one state, the last to finish come first."""
    from headway.brokers.base import JobQuery  # noqa: PLC0415 - when it is needed
    from headway.cli.output import print_json  # noqa: PLC0415 - as above
    from headway.cli.render import job_fields  # noqa: PLC0415 - as above

    query = JobQuery(tuple(JobState(state) for state in states), queues, task, search)
    page = with_target(target, lambda opened: opened.carrier.list(query, after=after, limit=limit))
    if as_json:
        print_json({"jobs": [job_fields(job) for job in page.jobs], "cursor": page.cursor})
    else:
        _print_page(page)


def _print_page(page: JobPage) -> None:
    from headway.cli.output import Column, print_table, state_colour  # noqa: PLC0415 - when it is needed
    from headway.cli.render import relative  # noqa: PLC0415 - as above
    from headway.clock import SystemClock  # noqa: PLC0415 - as above

    now = SystemClock().now_ms()
    print_table(
        [
            Column("id"),
            Column("state", colour=state_colour),
            Column("queue"),
            Column("task"),
            Column("try", right=True),
            Column("enqueued", right=True),
            Column("due", right=True),
            Column("finished", right=True),
            Column("reason"),
        ],
        [
            [
                job.id,
                job.state.value,
                job.queue,
                job.task,
                str(job.attempt),
                relative(job.enqueued_ms, now),
                relative(job.due_ms if job.state is JobState.SCHEDULED else None, now),
                relative(job.finished_ms, now),
                job.reason,
            ]
            for job in page.jobs
        ],
        empty="no such jobs",
    )
    if page.cursor is not None:
        click.echo(f"there are more: --after {page.cursor}", err=True)


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
    from headway.cli.output import print_fields, print_json  # noqa: PLC0415 - when it is needed
    from headway.cli.render import job_contents, job_fields  # noqa: PLC0415 - as above
    from headway.errors import JobNotFoundError  # noqa: PLC0415 - as above

    (checked,) = _checked([job_id])

    async def read(opened: OpenTarget) -> dict[str, Any]:
        (record,) = await opened.carrier.get([checked])
        if record is None:
            raise JobNotFoundError(checked, "not known here: never accepted, removed, or pruned")
        return {**job_fields(record), **job_contents(record, await opened.carrier.logs(checked))}

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
    import msgspec  # noqa: PLC0415 - when it is needed

    return msgspec.json.encode(value).decode()


def _shown_item(item: dict[str, Any]) -> str:
    """Show an attempt's error or a line of the log; a traceback goes below it."""
    first = " ".join(
        str(part) for name, part in item.items() if name != "traceback" and part not in (None, "")
    )
    return "\n".join([first, *str(item.get("traceback") or "").splitlines()])


@jobs.command(
    epilog=examples(
        "headway jobs retry 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app",
        "headway jobs retry --all-failed --queue email --app shop.jobs:app --yes",
    )
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all-failed", is_flag=True, help="All jobs in the dead-letter state, instead of ids.")
@click.option("--queue", "queues", multiple=True, help="With --all-failed: only of this queue; may repeat.")
@click.option("--task", help="With --all-failed: only of this task.")
@yes_option
@json_option("which were retried and which were not")
@takes_target
def retry(
    target: Target,
    *,
    ids: tuple[str, ...],
    all_failed: bool,
    queues: tuple[str, ...],
    task: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Give failed, cancelled or expired jobs a new life, with fresh attempts."""
    if all_failed == bool(ids):
        msg = "give either ids or --all-failed"
        raise click.UsageError(msg)
    if (queues or task) and not all_failed:
        msg = "--queue and --task belong to --all-failed"
        raise click.UsageError(msg)
    if not all_failed:
        return _act(target, ids, "retried", _each("retry"), as_json=as_json)
    if not yes:
        click.confirm("Retry all jobs in the dead-letter state that match?", abort=True, err=True)

    async def retry_all(opened: OpenTarget) -> list[JobId]:
        from headway.brokers.base import JobQuery  # noqa: PLC0415 - when it is needed

        query = JobQuery((JobState.FAILED,), queues, task)
        found: list[JobId] = []
        cursor: str | None = None
        # All ids first: those retried would fail again while we list, and come round for ever.
        while True:
            page = await opened.carrier.list(query, after=cursor, limit=_PAGE)
            found += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
        done: list[JobId] = []
        for start in range(0, len(found), _PAGE):
            part = found[start : start + _PAGE]
            done += [job for job, ok in zip(part, await opened.carrier.retry(part), strict=True) if ok]
        return done

    done = with_target(target, retry_all)
    if as_json:
        _print_acted("retried", done, [])
    else:
        click.echo(f"{len(done)} retried")
    return 0


@jobs.command(
    epilog=examples("headway jobs cancel 06d0b8h2k7q1v5c9x3z8 --reason 'wrong month' --app shop.jobs:app")
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--reason", default="", help="Kept with the job.")
@json_option("which were cancelled or asked to, and which were not")
@takes_target
def cancel(target: Target, *, ids: tuple[str, ...], reason: str, as_json: bool) -> int:
    """Cancel jobs: waiting ones at once; running ones are asked to stop."""

    async def ask(carrier: Carrier, jobs_: Sequence[JobId]) -> list[bool]:
        answers = await carrier.cancel(jobs_, reason)
        return [answer.state in (JobState.CANCELLED, JobState.RUNNING) for answer in answers]

    return _act(target, ids, "cancelled", ask, as_json=as_json)


@jobs.command(epilog=examples("headway jobs promote 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app"))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option("which were promoted and which were not")
@takes_target
def promote(target: Target, *, ids: tuple[str, ...], as_json: bool) -> int:
    """Make scheduled jobs ready now, whatever their due time."""
    return _act(target, ids, "promoted", _each("promote"), as_json=as_json)


@jobs.command(epilog=examples("headway jobs remove 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app"))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option("which were removed and which were not")
@takes_target
def remove(target: Target, *, ids: tuple[str, ...], as_json: bool) -> int:
    """Forget jobs that are not running, with their results and logs."""
    return _act(target, ids, "removed", _each("remove"), as_json=as_json)


@jobs.command(
    epilog=examples(
        "headway jobs watch --app shop.jobs:app",
        "headway jobs watch --app shop.jobs:app --queue email --kind failed --json",
    )
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--queue", "queues", multiple=True, help="Only of this queue; may repeat.")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind, such as failed; may repeat.")
@click.option(
    "--after", metavar="CURSOR", help="Go on behind the event with this cursor, as far back as is kept."
)
@click.option("--limit", type=click.IntRange(1), help="End after so many events.")
@json_option("each event on one line,")
@takes_target
def watch(
    target: Target,
    *,
    ids: tuple[str, ...],
    queues: tuple[str, ...],
    kinds: tuple[str, ...],
    after: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print what happens to jobs, as it happens, until Ctrl-C."""
    from headway.cli.output import print_json_line, printable, state_colour  # noqa: PLC0415 - when it is needed
    from headway.cli.render import event_fields, iso  # noqa: PLC0415 - as above
    from headway.events import EventKind  # noqa: PLC0415 - as above

    known = {kind.value for kind in EventKind}
    for kind in kinds:
        if kind not in known:
            msg = f"--kind {kind!r}: there is no such event; known are {', '.join(sorted(known))}"
            raise click.UsageError(msg)
    wanted = frozenset(_checked(ids))

    async def follow(opened: OpenTarget) -> None:
        printed = 0
        async for event in opened.carrier.events(after):
            if (
                (wanted and event.job_id not in wanted)
                or (queues and event.queue not in queues)
                or (kinds and event.kind.value not in kinds)
            ):
                continue
            if as_json:
                print_json_line(event_fields(event))
            else:
                shown = click.style(f"{event.kind.value:<10}", fg=state_colour(event.kind.value))
                rest = printable(f"{event.job_id}  {event.queue}  {event.worker or ''}".rstrip())
                click.echo(f"{iso(event.at_ms)}  {shown}  {rest}")
            printed += 1
            if printed == limit:
                return

    with_target(target, follow)


def _each(method: str) -> Callable[[Carrier, Sequence[JobId]], Awaitable[list[bool]]]:
    async def call(carrier: Carrier, ids: Sequence[JobId]) -> list[bool]:
        match method:
            case "retry":
                return await carrier.retry(ids)
            case "promote":
                return await carrier.promote(ids)
            case _:
                return await carrier.remove(ids)

    return call


def _act(
    target: Target,
    ids: Sequence[str],
    done: str,
    act: Callable[[Carrier, Sequence[JobId]], Awaitable[list[bool]]],
    *,
    as_json: bool,
) -> int:
    """Do it for all; exit code 1 when it could not be done for one of them."""
    checked = _checked(ids)
    applied = with_target(target, lambda opened: act(opened.carrier, checked))
    yes = [job for job, ok in zip(checked, applied, strict=True) if ok]
    no = [job for job, ok in zip(checked, applied, strict=True) if not ok]
    if as_json:
        _print_acted(done, yes, no)
    else:
        for job in yes:
            click.echo(f"{job} {done}")
    if no:
        click.echo(
            f"headway: not {done}: {', '.join(no)}: unknown, or in a state that does not allow it", err=True
        )
    return 1 if no else 0


def _print_acted(done: str, yes: Sequence[JobId], no: Sequence[JobId]) -> None:
    from headway.cli.output import print_json  # noqa: PLC0415 - when it is needed

    print_json({done: yes, f"not_{done}": no})


def _checked(ids: Sequence[str]) -> list[JobId]:
    for text in ids:
        if not is_job_id(text):
            msg = f"{text!r} is not a job id: 20 characters of lower-case base 32"
            raise click.UsageError(msg)
    return [JobId(text) for text in dict.fromkeys(ids)]
