"""`headway queues`: counts, pause, resume, drain, clean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import DURATION, examples, json_option, yes_option
from headway.cli.streams import ask, emit
from headway.cli.target import Target, takes_target, with_target
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import QueueCounts
    from headway.cli.target import OpenTarget

_TERMINAL: Final = [state.value for state in JobState if state.terminal]
_force_option: Final = click.option(
    "--force", is_flag=True, help="Also a queue that holds no job yet and that no task of --app declares."
)


@click.group(
    epilog=examples(
        "headway queues list --app shop.jobs:app", "headway queues pause email --app shop.jobs:app"
    )
)
def queues() -> None:
    """List queues; pause, resume, drain and clean them."""


@queues.command(
    "list",
    epilog=examples(
        "headway queues list --app shop.jobs:app",
        "headway queues list --url redis://localhost --namespace shop --json",
    ),
)
@json_option("the queues with their counts")
@takes_target
def list_queues(target: Target, *, as_json: bool) -> None:
    """List the queues that hold a job or are paused, and those of the app's tasks."""
    from headway.cli.output import print_json
    from headway.cli.render import queue_fields

    found = with_target(target, all_counts)
    if as_json:
        print_json({"queues": [queue_fields(counts) for counts in found]})
    else:
        _print_counts(found)


async def all_counts(opened: OpenTarget) -> list[QueueCounts]:
    """Count the queues that hold a job or are paused, and those of the app's tasks, by name."""
    from headway.brokers.base import QueueCounts

    found = {counts.queue: counts for counts in await opened.carrier.counts()}
    for name in opened.app.queues if opened.app is not None else ():
        found.setdefault(name, QueueCounts(name, paused=False, counts={}))
    return [found[name] for name in sorted(found)]


def _print_counts(found: list[QueueCounts]) -> None:
    from headway.cli.output import Column, print_table, state_colour, yellow
    from headway.cli.render import relative
    from headway.clock import SystemClock

    def coloured(state: JobState) -> Column:
        def colour(cell: str) -> str | None:
            return state_colour(state.value) if cell != "0" else None

        return Column(state.value, right=True, colour=colour)

    now = SystemClock().now_ms()
    print_table(
        [
            Column("queue"),
            Column("", colour=yellow),
            *map(coloured, JobState),
            Column("oldest ready", right=True),
        ],
        [
            [
                counts.queue,
                "paused" if counts.paused else "",
                *(str(counts.counts.get(state, 0)) for state in JobState),
                relative(counts.oldest_ready_ms, now),
            ]
            for counts in found
        ],
        empty="no queues: nothing was enqueued yet",
    )


@queues.command(epilog=examples("headway queues pause email reports --app shop.jobs:app"))
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@_force_option
@json_option("the paused queues")
@takes_target
def pause(target: Target, *, names: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Hand out no more jobs of these queues; running ones go on, new ones are accepted."""
    _switch(target, names, paused=True, force=force, as_json=as_json)


@queues.command(epilog=examples("headway queues resume email --app shop.jobs:app"))
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@_force_option
@json_option("the paused queues")
@takes_target
def resume(target: Target, *, names: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Hand out jobs of these queues again."""
    _switch(target, names, paused=False, force=force, as_json=as_json)


def _switch(target: Target, names: tuple[str, ...], *, paused: bool, force: bool, as_json: bool) -> None:
    from headway.cli.output import print_json

    async def switch(opened: OpenTarget) -> tuple[list[str], list[str], list[str]]:
        there, unknown = await _sorted_out(opened, names, force=force)
        for name in there:
            await (opened.carrier.pause(name) if paused else opened.carrier.resume(name))
        return there, unknown, sorted(await opened.carrier.paused())

    switched, unknown, now = with_target(target, switch)
    if as_json:
        print_json({"paused": now})
    else:
        for name in switched:
            emit(f"{name} {'paused' if paused else 'resumed'}")
    _refuse(unknown)


async def _sorted_out(
    opened: OpenTarget, names: Sequence[str], *, force: bool = False
) -> tuple[list[str], list[str]]:
    """Return those of the queues that are known, and the others; with `force` all count as known."""
    from headway.names import checked_name

    wanted = [checked_name("queue", name) for name in dict.fromkeys(names)]
    if force or not wanted:
        return wanted, []
    known = {counts.queue for counts in await opened.carrier.counts()}
    known |= set(opened.app.queues) if opened.app is not None else set()
    return [name for name in wanted if name in known], [name for name in wanted if name not in known]


def _refuse(unknown: Sequence[str]) -> None:
    """Fail for the queues that are not known, once what could be done is done and said."""
    if unknown:
        msg = (
            f"no queue {', '.join(map(repr, unknown))}: it holds no job, is not paused, and no task of --app "
            "declares it; `headway queues list` shows those that are known"
        )
        raise CommandFailed(msg)


@queues.command(
    epilog=examples("headway queues drain email --app shop.jobs:app", "headway queues drain email --yes")
)
@click.argument("name", metavar="QUEUE")
@yes_option
@json_option("how many were removed")
@takes_target
def drain(target: Target, *, name: str, yes: bool, as_json: bool) -> None:
    """Remove all jobs of a queue that wait, ready and scheduled; they are not run."""
    ask(f"Remove all waiting jobs of queue {name!r} for good?", yes=yes)

    async def remove(opened: OpenTarget) -> tuple[int, list[str]]:
        there, unknown = await _sorted_out(opened, [name])
        return (await opened.carrier.drain(name) if there else 0), unknown

    removed, unknown = with_target(target, remove)
    _print_removed(removed, as_json=as_json)
    _refuse(unknown)


@queues.command(
    epilog=examples(
        "headway queues clean --app shop.jobs:app",
        "headway queues clean email reports --state failed --older-than 30d --yes --app shop.jobs:app",
    )
)
@click.argument("names", nargs=-1, metavar="[QUEUE]...")
@click.option(
    "--state",
    type=click.Choice(_TERMINAL),
    default="succeeded",
    show_default=True,
    help="Of which terminal state.",
)
@click.option("--older-than", type=DURATION, default="24h", show_default=True, help="Finished so long ago.")
@click.option(
    "--limit", type=click.IntRange(1), default=10_000, show_default=True, help="At most so many a queue."
)
@yes_option
@json_option("how many were removed")
@takes_target
def clean(
    target: Target,
    *,
    names: tuple[str, ...],
    state: str,
    older_than: float,
    limit: int,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove completed jobs of these queues (none given: of all), with their results."""
    where = f"of {', '.join(names)}" if names else "of ALL queues"
    ask(f"Remove {state} jobs {where} that finished over {older_than:g} s ago?", yes=yes)

    async def sweep(opened: OpenTarget) -> tuple[int, list[str]]:
        there, unknown = await _sorted_out(opened, names)
        total = 0
        for name in there if names else (None,):
            total += await opened.carrier.clean(
                JobState(state), older_than_ms=round(older_than * 1000), queue=name, limit=limit
            )
        return total, unknown

    removed, unknown = with_target(target, sweep)
    _print_removed(removed, as_json=as_json)
    _refuse(unknown)


def _print_removed(count: int, *, as_json: bool) -> None:
    from headway.cli.output import print_json

    if as_json:
        print_json({"removed": count})
    else:
        emit(f"{count} removed")
