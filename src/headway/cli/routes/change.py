"""`headway routes set` and `rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.routes.checks import check_change, warnings_of
from headway.cli.routes.completion import complete_queue, complete_weight
from headway.cli.routes.known import (
    clock_of,
    counts_by_carrier,
    declared_of,
    known_queues,
    me,
)
from headway.cli.streams import emit, say
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headway.brokers.base import QueueCounts
    from headway.cli.target import OpenTarget
    from headway.routing.changing import Change, StoredRoutes
    from headway.routing.declared import Declared
    from headway.routing.routes import Route
    from headway.routing.table import RouteTable

    Edit = Callable[[RouteTable, int], RouteTable]


class Done(NamedTuple):
    """What a change came to: in words, with what is likely to be in its way."""

    change: Change
    lines: list[str]
    warnings: list[str]


reason_option = click.option("--reason", default="", help="Why; kept with the version.")
who_option = click.option(
    "--who", default=None, help="Who changes it; kept with the version.  [default: user@host]"
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Check and show the difference; change nothing."
)


@click.command(
    "set",
    epilog=examples(
        "headway routes set reports main=75 push=25 --reason 'a quarter to the cloud' --app shop.jobs:app",
        "headway routes set email push --dry-run --app shop.jobs:app",
        "headway routes set imports east=50 west=50 --by header:tenant --app shop.jobs:app",
        "headway routes set reports --declared --app shop.jobs:app",
        "headway routes set reports --shadow push=5 --app shop.jobs:app",
    ),
)
@click.argument("name", metavar="QUEUE", shell_complete=complete_queue)
@click.argument("words", nargs=-1, metavar="CARRIER=PERCENT...", shell_complete=complete_weight)
@click.option(
    "--by",
    metavar="header:NAME",
    help="Place jobs by this header, so that one tenant stays on one side; 'key': by key or id again.",
)
@click.option("--declared", is_flag=True, help="Instead of weights: go by the settings again.")
@click.option(
    "--shadow",
    metavar="CARRIER=PERCENT",
    help="Copy so many of its jobs to a carrier, to see how that does, and discard them there; 'none': copy nothing.",
)
@click.option(
    "--force", is_flag=True, help="Also a queue that holds no job yet and that no task of --app declares."
)
@reason_option
@who_option
@dry_run_option
@json_option("the change")
@takes_target
def set_route(  # noqa: PLR0913 - the options of the command
    target: Target,
    *,
    name: str,
    words: tuple[str, ...],
    by: str | None,
    declared: bool,
    shadow: str | None,
    force: bool,
    reason: str,
    who: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Set which carriers take the new jobs of a queue, in whole percent; one carrier alone takes all.

    Jobs that wait stay where they are. A change follows on the last one when that has settled, 4 s after it. A carrier
    that cannot do what a task of the queue needs is refused with the task's name; with --url, without the app's code,
    that is not known.
    """
    if (declared and (words or by is not None)) or not (declared or words or (shadow and by is None)):
        msg = "give the weights, such as main=75 push=25, or one carrier, or --declared or --shadow alone"
        raise click.UsageError(msg)

    async def work(opened: OpenTarget) -> Done:
        from headway.names import checked_name
        from headway.routing.changing import control_of, read_routes
        from headway.routing.wishing import with_shadow

        known, queue = declared_of(opened), checked_name("queue", name)
        control, counts = control_of(opened.carriers), await counts_by_carrier(opened.carriers)
        stored = await read_routes(control, clock_of(opened))
        if not force and queue not in known_queues(opened, known, stored.table, counts):
            msg = (
                f"no queue {queue!r}: no route and no task of --app names it, and it holds no job; "
                "--force sets a route all the same"
            )
            raise CommandFailed(msg)

        def edit(table: RouteTable, now_ms: int) -> RouteTable:
            before = known.route(table, queue)
            after = (
                before if not (declared or words) else _changed(known, before, words, by) if words else None
            )
            copied = with_shadow(known, table, queue, shadow, f"--shadow of {queue}", declared=declared)
            if (after == before or (after is None and queue not in table.routes)) and copied is table:
                return table
            kept = {} if after == before and queue not in table.routes else {queue: after}
            return copied.changed(kept, who=who or me(), when_ms=now_ms, why=reason, unrouted=known.unrouted)

        return await apply_change(opened, known, counts, edit, dry_run=dry_run)

    done = with_target(target, work)
    _print(done, dry_run=dry_run, as_json=as_json)


@click.command(
    epilog=examples(
        "headway routes rollback 3 --reason 'too slow' --app shop.jobs:app",
        "headway routes rollback 3 --dry-run --app shop.jobs:app",
    )
)
@click.argument("version", type=click.IntRange(0))
@reason_option
@who_option
@dry_run_option
@json_option("the change")
@takes_target
def rollback(
    target: Target,
    *,
    version: int,
    reason: str,
    who: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go back to the routes of an earlier VERSION, all of them, as a new version; 0: those of the settings.

    The last 100 versions can be gone back to. It is checked like any other change.
    """

    async def work(opened: OpenTarget) -> Done:
        from headway.routing.changing import control_of, routes_history
        from headway.routing.table import RouteTable

        known, counts = declared_of(opened), await counts_by_carrier(opened.carriers)
        kept = {table.version: table for table in await routes_history(control_of(opened.carriers))}
        earlier = RouteTable() if version == 0 else kept.get(version)
        if earlier is None:
            there = f"{min(kept)} to {max(kept)}" if kept else "none"
            msg = f"no version {version} of the routes is kept; there are: {there}"
            raise CommandFailed(msg)
        why = reason or ("back to the settings" if version == 0 else f"back to version {version}")

        def edit(table: RouteTable, now_ms: int) -> RouteTable:
            if table.routes == earlier.routes:
                return table
            return table.rolled_back(
                earlier, who=who or me(), when_ms=now_ms, why=why, unrouted=known.unrouted
            )

        return await apply_change(opened, known, counts, edit, dry_run=dry_run)

    done = with_target(target, work)
    _print(done, dry_run=dry_run, as_json=as_json)


def _changed(known: Declared, before: Route, words: tuple[str, ...], by: str | None) -> Route:
    """Return the route with the weights and the header that were typed; ConfigError says what is wrong with them."""
    from headway.routing.written import BY, parse_route, parse_weights

    what = f"route of {before.queue}"
    weights: dict[str, object] = dict(parse_weights(words, known.carriers, what))
    placed = before.by if by is None else "" if by == "key" else by
    new = parse_route(before.queue, weights | ({BY: placed} if placed else {}), known.carriers, what)
    return before.changed(new.weights) if new.by == before.by else new


async def apply_change(
    opened: OpenTarget,
    known: Declared,
    counts: Mapping[str, Mapping[str, QueueCounts]],
    edit: Edit,
    *,
    dry_run: bool,
) -> Done:
    """Check what the edit makes of the routes, and write it. Each table that is to be written is checked anew."""
    from headway.routing.changing import Change, change_routes, control_of, read_routes

    control, clock = control_of(opened.carriers), clock_of(opened)

    def checked(table: RouteTable, now_ms: int) -> RouteTable:
        after = edit(table, now_ms)
        check_change(opened, known, table, after)
        return after

    if dry_run:
        stored = await read_routes(control, clock)
        change = Change(stored.table, checked(stored.table, stored.now_ms))
    else:
        change = await change_routes(control, checked, clock, on_wait=_say_wait)
    from headway.app.needs import gaining_carriers

    queues = () if opened.app is None else opened.app.queues
    gaining = gaining_carriers(known, change.before, change.after, queues)
    warnings = await warnings_of(opened, counts, gaining)
    return Done(change, _words(known, change), warnings)


def _say_wait(stored: StoredRoutes) -> None:
    say(
        f"headway: version {stored.version} was set a moment ago: waiting {stored.unsettled:.1f} s "
        "until every producer goes by it"
    )


def _words(known: Declared, change: Change) -> list[str]:
    from headway.routing.differences import differences

    return differences(known.over(change.before), known.over(change.after), known.first)


def _print(done: Done, *, dry_run: bool, as_json: bool) -> None:
    from headway.cli.output import print_json, printable

    change = done.change
    if as_json:
        print_json(
            {
                "version": change.after.version,
                "changed": change.made and not dry_run,
                "dry_run": dry_run,
                "differences": done.lines,
                "warnings": done.warnings,
                "who": change.after.who,
                "reason": change.after.why,
            }
        )
        return
    for line in done.lines:
        emit(printable(line))
    for warning in done.warnings:
        say(f"headway: {printable(warning)}")
    if not change.made:
        emit(f"nothing to change: it is so already, at version {change.after.version}")
    elif dry_run:
        emit(f"nothing was changed; it would be version {change.after.version}")
    else:
        emit(f"version {change.after.version}; every producer goes by it within 2 s, jobs with a key in 4 s")
