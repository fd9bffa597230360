"""`headway schedules create` and `change`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from headway.cli.given_app import takes_app_and_words
from headway.cli.options import DURATION, INSTANT, examples, json_option
from headway.cli.streams import emit

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.app.app import Headway
    from headway.app.prepared import PreparedJob
    from headway.app.scheduleinfo import ScheduleInfo

F = TypeVar("F", bound="Callable[..., Any]")

_TIMES = ("cron", "every", "timezone", "catch_up", "first_fire", "until")
_OF_JOBS = ("kwargs", "priority", "queue", "expires")


def _schedule_options(function: F) -> F:
    """Add what can be said of a schedule, and of its jobs."""
    options = [
        click.option("--cron", metavar="EXPRESSION", help="When: five fields, or six with seconds first."),
        click.option("--every", metavar="DURATION", help="When, in place of --cron: 30s, 5m, 24h, 7d."),
        click.option("--timezone", metavar="ZONE", help="Of --cron, such as Europe/Zurich.  [default: UTC]"),
        click.option(
            "--catch-up",
            type=click.Choice(["last", "all", "skip"]),
            help="What becomes of fire times missed while no worker ran.  [default: last]",
        ),
        click.option("--first-fire", type=INSTANT, help="Not before this instant, and then in any case."),
        click.option("--until", type=INSTANT, help="Not after this instant."),
        click.option("--kwargs", metavar="JSON", help="Keyword arguments, as a JSON object."),
        click.option("--priority", type=click.IntRange(0, 9), help="9 comes first.  [default: the task's]"),
        click.option("--queue", help="Another queue than the task's."),
        click.option(
            "--expires", type=DURATION, help="A job is not started later than so long after its time."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    epilog=examples(
        "headway schedules create tenant-7 report 7 --cron '0 3 * * *' --app shop.jobs:app",
        "headway schedules create shop.jobs:app sync-7 sync 7 --every 5m --first-fire 2030-01-31T09:00+01:00",
        "headway schedules create tenant-7 report 7 --every 1h --replace --app shop.jobs:app",
    )
)
@takes_app_and_words("NAME TASK [ARG]...")
@_schedule_options
@click.option("--paused", is_flag=True, help="Make it paused.")
@click.option("--replace", is_flag=True, help="Put it in the place of one made at run time; a pause stays.")
@json_option("the schedule")
def create(
    app: str,
    words: tuple[str, ...],
    /,
    *,
    paused: bool,
    replace: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - click's
) -> None:
    """Make a schedule of this NAME for TASK at run time. Each ARG is JSON or a plain word, as for `headway enqueue`.

    The arguments are checked against the task's signature. APP may be left out where HEADWAY_APP is set.
    """
    if replace and paused:
        msg = "--paused is for a new schedule; with --replace a pause stays as it is"
        raise click.UsageError(msg)

    async def make(loaded: Headway) -> ScheduleInfo:
        job = _job(loaded, words[1:], options)
        if job is None:
            msg = "Missing argument 'TASK'." if words else "Missing argument 'NAME'."
            raise click.UsageError(msg)
        if replace:
            return await loaded.schedules.put(words[0], job, **_times(options))
        return await loaded.schedules.create(words[0], job, paused=paused, **_times(options))

    _print(_with_app(app, make), "made", as_json=as_json)


@click.command(
    epilog=examples(
        "headway schedules change tenant-7 --cron '30 4 * * *' --timezone Europe/Zurich --app shop.jobs:app",
        'headway schedules change tenant-7 report 7 --kwargs \'{"kind": "long"}\' --app shop.jobs:app',
    )
)
@takes_app_and_words("NAME [TASK [ARG]...]")
@_schedule_options
@json_option("the schedule")
def change(app: str, words: tuple[str, ...], /, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - click's
    """Change a schedule made at run time: its times (given whole), or its task with all arguments; the rest stays."""

    async def make(loaded: Headway) -> ScheduleInfo:
        if not words:
            msg = "Missing argument 'NAME'."
            raise click.UsageError(msg)
        job, times = _job(loaded, words[1:], options), _times(options)
        of_jobs = [f"--{name}" for name in _OF_JOBS if options[name] is not None]
        if of_jobs and job is None:
            msg = f"{', '.join(of_jobs)}: give the task and its arguments too"
            raise click.UsageError(msg)
        if job is None and not times:
            msg = "nothing to change: give --cron, --every or --catch-up, or the task with its arguments"
            raise click.UsageError(msg)
        return await loaded.schedules.change(words[0], job=job, **times)

    _print(_with_app(app, make), "changed", as_json=as_json)


def _with_app(path: str, make: Any) -> ScheduleInfo:  # noqa: ANN401 - an async function of the app
    import asyncio

    from headway.cli.target import import_app

    loaded = import_app(path)

    async def run() -> ScheduleInfo:
        async with loaded:
            info: ScheduleInfo = await make(loaded)
            return info

    return asyncio.run(run())


def _times(options: dict[str, Any]) -> Any:  # noqa: ANN401 - a typed dict of another module
    return {name: options[name] for name in _TIMES if options[name] is not None}


def _job(app: Headway, words: tuple[str, ...], options: dict[str, Any]) -> PreparedJob[Any] | None:
    from headway.cli.enqueue import parse_argument, parse_keywords

    if not words:
        return None
    task, *texts = words
    call = app.find_task(task).options(
        priority=options["priority"], queue=options["queue"], expires=options["expires"]
    )
    make: Callable[..., PreparedJob[Any]] = call.job
    return make(*map(parse_argument, texts), **parse_keywords(options["kwargs"]))


def _print(info: ScheduleInfo, done: str, *, as_json: bool) -> None:
    from headway.cli.output import print_json
    from headway.cli.schedules.show import schedule_fields

    fields = schedule_fields(info)
    if as_json:
        print_json(fields)
    else:
        emit(f"{info.name} {done}: {info.spec}, next fire {fields['next_fire_at'] or '-'}")
