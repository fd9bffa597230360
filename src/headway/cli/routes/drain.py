"""`headway routes drain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.routes.change import apply_change, dry_run_option, reason_option, who_option
from headway.cli.routes.completion import complete_carrier
from headway.cli.routes.known import clock_of, counts_by_carrier, declared_of, me
from headway.cli.streams import emit, say
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.cli.routes.change import Done
    from headway.cli.target import OpenTarget
    from headway.routing.declared import Declared
    from headway.routing.emptying import Left
    from headway.routing.moving import Moved
    from headway.routing.table import RouteTable

_PAUSE = 1.0  # seconds between two looks of --wait


class Drained(NamedTuple):
    """What a drain came to: the change, what was moved by queue, and what is left."""

    done: Done
    moved: dict[str, Moved]
    left: Sequence[Left]


@click.command(
    epilog=examples(
        "headway routes drain push --reason 'maintenance' --app shop.jobs:app",
        "headway routes drain push --move --wait --app shop.jobs:app",
        "headway routes drain push --end --app shop.jobs:app",
    )
)
@click.argument("name", metavar="CARRIER", shell_complete=complete_carrier)
@click.option(
    "--to",
    "stand_in",
    metavar="CARRIER",
    shell_complete=complete_carrier,
    help="Who takes the jobs of queues that no other carrier serves.  [default: the first that is not drained]",
)
@click.option(
    "--move", is_flag=True, help="Take the jobs that wait there over, each queue's to where it goes now."
)
@click.option("--wait", is_flag=True, help="Wait until nothing is left, and show what is.")
@click.option("--end", is_flag=True, help="Let it take jobs again, those that it took before.")
@reason_option
@who_option
@dry_run_option
@json_option("the change and what is left")
@takes_target
def drain(  # noqa: PLR0913 - the options of the command
    target: Target,
    *,
    name: str,
    stand_in: str | None,
    move: bool,
    wait: bool,
    end: bool,
    reason: str,
    who: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send nothing new to CARRIER, and show what is left there until it is empty.

    The other carriers of each route take its places, in proportion to theirs; the routes stay as they are set, so --end
    restores each place. It is a version of the routes as any other: in the history, within 2 s everywhere, jobs with a
    key after 4 s. Repeated, the command shows what is left now. Exit code 1 when a job is refused by --move.
    """
    if end and (move or wait or stand_in):
        msg = "--end goes with none of --to, --move and --wait"
        raise click.UsageError(msg)

    async def work(opened: OpenTarget) -> Drained:
        from headway.routing.emptying import left_on

        known = declared_of(opened)
        _check(known, name, stand_in)

        def edit(table: RouteTable, now_ms: int) -> RouteTable:
            drained = _ended(table, name) if end else _begun(known, table, name, stand_in)
            if drained == table.drained:
                return table
            return table.drained_as(
                drained,
                who=who or me(),
                when_ms=now_ms,
                why=reason or (f"{name} is drained no more" if end else f"{name} is drained"),
                unrouted=known.unrouted,
                queues=known.routes,
            )

        counts = await counts_by_carrier(opened.carriers)
        done = await apply_change(opened, known, counts, edit, dry_run=dry_run)
        moved: dict[str, Moved] = {}
        if move and not dry_run:
            moved = await _move(opened, known, name, quiet=as_json)
        left: Sequence[Left] = await left_on(opened.carriers[name])
        if wait and not dry_run:
            left = await _wait(opened, known, name, left, move=move, quiet=as_json)
        return Drained(done, moved, left)

    found = with_target(target, work)
    _print(found, name, end=end, dry_run=dry_run, as_json=as_json)
    refused = sum(len(one.refused) for one in found.moved.values())
    if refused:
        msg = f"{refused} jobs are refused by the other carriers and wait on {name} as before"
        raise CommandFailed(msg)


def _check(known: Declared, name: str, stand_in: str | None) -> None:
    for one in (name, stand_in):
        if one is not None and one not in known.carriers:
            msg = f"there is no carrier {one!r}; the carriers are {', '.join(known.carriers)}"
            raise CommandFailed(msg)
    if name == stand_in:
        msg = f"{name} cannot stand in for itself: name another carrier with --to"
        raise CommandFailed(msg)


def _ended(table: RouteTable, name: str) -> dict[str, str]:
    return {carrier: other for carrier, other in table.drained.items() if carrier != name}


def _begun(known: Declared, table: RouteTable, name: str, stand_in: str | None) -> dict[str, str]:
    """Return the carriers that are drained with this one; who names none keeps the one that was chosen before."""
    drained = _ended(table, name)
    free = [one for one in known.carriers if one != name and one not in drained]
    if not free:
        msg = f"{name} cannot be drained: no other carrier of the app could take its jobs"
        raise CommandFailed(msg)
    chosen = stand_in or table.drained.get(name)
    if stand_in in drained:
        msg = f"{stand_in} is drained as well: name another carrier with --to"
        raise CommandFailed(msg)
    return drained | {name: chosen if chosen in free else free[0]}


async def _move(opened: OpenTarget, known: Declared, name: str, *, quiet: bool) -> dict[str, Moved]:
    """Move what waits once no producer gives the carrier more, then once again what came until then."""
    import asyncio

    from headway.routing.changing import control_of, read_routes
    from headway.routing.emptying import move_off

    def told(queue: str, goal: str, moved: Moved) -> None:
        if not quiet:
            say(f"{queue}: {moved.moved} moved to {goal} ...")

    stored = await read_routes(control_of(opened.carriers), clock_of(opened))
    await asyncio.sleep(stored.unsettled)
    return await move_off(opened.carriers, known, stored.table, name, told=told)


async def _wait(
    opened: OpenTarget, known: Declared, name: str, left: Sequence[Left], *, move: bool, quiet: bool
) -> Sequence[Left]:
    import asyncio

    from headway.routing.emptying import left_on

    before: Sequence[Left] = ()
    while left:
        if not quiet and left != before:
            say(f"{name}: {_text(left)}")
        before = left
        await asyncio.sleep(_PAUSE)
        left = await left_on(opened.carriers[name])
        if move and any(one.waiting for one in left):  # a retry of what ran when all else was moved
            await _move(opened, known, name, quiet=quiet)
    return left


def _text(left: Sequence[Left]) -> str:
    return "; ".join(f"{one.queue}: {one.waiting} wait, {one.running} run" for one in left)


def _print(found: Drained, name: str, *, end: bool, dry_run: bool, as_json: bool) -> None:
    from headway.cli.output import Column, print_json, print_table, printable

    change = found.done.change
    moved = {queue: one.moved for queue, one in found.moved.items() if one.moved}
    if as_json:
        print_json(
            {
                "carrier": name,
                "drained": name in change.after.drained,
                "stand_in": change.after.drained.get(name),
                "version": change.after.version,
                "changed": change.made and not dry_run,
                "dry_run": dry_run,
                "differences": found.done.lines,
                "warnings": found.done.warnings,
                "moved": moved,
                "left": [
                    {
                        "queue": one.queue,
                        "ready": one.ready,
                        "scheduled": one.scheduled,
                        "running": one.running,
                    }
                    for one in found.left
                ],
                "empty": not found.left,
            }
        )
        return
    for line in found.done.lines:
        emit(printable(line))
    for warning in found.done.warnings:
        say(f"headway: {printable(warning)}")
    if dry_run:
        emit(f"nothing was changed; it would be version {change.after.version}")
    elif change.made:
        emit(f"version {change.after.version}; every producer goes by it within 2 s, jobs with a key in 4 s")
    for queue, count in moved.items():
        emit(printable(f"{queue}: {count} waiting jobs moved"))
    if not end:
        print_table(
            [Column("queue"), *(Column(one, right=True) for one in ("ready", "scheduled", "running"))],
            [[one.queue, str(one.ready), str(one.scheduled), str(one.running)] for one in found.left],
            empty=f"{name} is empty: nothing waits or runs there",
        )
