"""`headway routes verify`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.options import examples, json_option
from headway.cli.routes.known import clock_of, declared_of
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.cli.target import OpenTarget
    from headway.routing.verifying import Misplaced, Verified

_SHOWN: Final = 10  # jobs of one kind of trouble, for people


@click.command(
    epilog=examples(
        "headway routes verify --app shop.jobs:app", "headway routes verify --app shop.jobs:app --json"
    )
)
@json_option("what was found")
@takes_target
def verify(target: Target, *, as_json: bool) -> int:
    """Look at every job on every carrier of the app; exit code 0 only when nothing is wrong.

    Wrong are: a job on two carriers, a job that was moved and is on none, jobs that wait where no route leads and
    nobody serves their queue, a route to a carrier that the settings do not have. The app may go on meanwhile; memory
    does not grow with the number of jobs.
    """
    from headway.cli.output import print_json
    from headway.routing.changing import control_carrier, read_routes
    from headway.routing.table import RouteTable
    from headway.routing.verifying import verify as look

    progress = _Progress()

    async def work(opened: OpenTarget) -> Verified:
        control = control_carrier(opened.carriers)
        table = RouteTable() if control is None else (await read_routes(control[1], clock_of(opened))).table
        try:
            return await look(opened.carriers, declared_of(opened), table, on_progress=progress.show)
        finally:
            progress.end()

    found = with_target(target, work)
    if as_json:
        print_json(_fields(found))
    else:
        _print(found)
    return 0 if found.sound else 1


class _Progress:
    """A line on a terminal, written over again and again; nothing elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def show(self, jobs: int) -> None:
        if self._live:
            click.echo(f"\r{jobs} jobs", nl=False, err=True)

    def end(self) -> None:
        if self._live:
            click.echo("\r\x1b[K", nl=False, err=True)


def _fields(found: Verified) -> dict[str, Any]:
    from msgspec import to_builtins

    return {
        "ok": found.sound,
        "jobs": found.jobs,
        "traces": found.traces,
        "counts": [
            {
                "carrier": name,
                "queue": queue,
                "counts": {state.value: count for state, count in one.counts.items() if count},
            }
            for name, counts in found.counts.items()
            for queue, one in counts.items()
        ],
        "doubles": to_builtins(found.doubles),
        "more_doubles": found.more_doubles,
        "gone": to_builtins(found.gone),
        "more_gone": found.more_gone,
        "stranded": to_builtins(found.stranded),
        "unrouted": to_builtins(found.unrouted),
    }


def _print(found: Verified) -> None:
    from headway.cli.output import Column, print_table, printable
    from headway.job import JobState

    columns = [Column(state.value, right=True) for state in JobState]
    print_table(
        [Column("carrier"), Column("queue"), *columns],
        [
            [name, queue, *(str(one.counts.get(state, 0)) for state in JobState)]
            for name, counts in found.counts.items()
            for queue, one in counts.items()
        ],
        empty="no jobs",
    )
    for line in _trouble(found):
        emit(printable(line))
    traces = f"; {found.traces} traces of jobs that were moved" if found.traces else ""
    verdict = "each on one carrier, nothing is wrong" if found.sound else "NOT as it should be"
    emit(f"{found.jobs} jobs{traces}: {verdict}")


def _trouble(found: Verified) -> list[str]:
    lines = _named("is on two carriers", found.doubles, found.more_doubles)
    lines += _named("was moved and is on no carrier, or on its way: look again", found.gone, found.more_gone)
    lines += [
        f"{one.waiting} of queue {one.queue} wait on {one.carrier}: no route leads there, and no worker or receiver "
        "that serves them is seen; start one, or route the queue there again"
        for one in found.stranded
    ]
    lines += [
        f"the route of queue {one.queue} names {', '.join(one.carriers)}, which the settings do not have"
        for one in found.unrouted
    ]
    return lines


def _named(what: str, some: Sequence[Misplaced], more: int) -> list[str]:
    lines = [f"job {one.id} {what}: {', '.join(one.carriers)}" for one in some[:_SHOWN]]
    left = len(some[_SHOWN:]) + more
    return [*lines, f"and {left} more of these"] if left else lines
