"""`headway migrate inspect`, `plan` and `verify`: no job is changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headway.cli.failures import CommandFailed
from headway.cli.migrate.given import opened_source, opened_work, states_of, takes_map, takes_source
from headway.cli.migrate.heard import telling
from headway.cli.migrate.shown import ProgressLine, print_census, print_lines, print_names, write_report
from headway.cli.options import examples, json_option
from headway.cli.streams import emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.cli.migrate.given import Given
    from headway.migrate.census import Census
    from headway.migrate.repeatables import Line
    from headway.migrate.verify import Verified

children_option = click.option(
    "--children", is_flag=True, help="Also jobs that another one waits for there, which then waits for ever."
)


def _checked_report(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse what cannot be written before anything is done."""
    if value is not None and (Path(value).is_dir() or not Path(value).absolute().parent.is_dir()):
        msg = f"{value!r} cannot be written: is its folder there?"
        raise click.BadParameter(msg, ctx, param)
    return value


report_option = click.option(
    "--report",
    callback=_checked_report,
    metavar="FILE",
    help="Write the result there, too: Markdown, or JSON for a name that ends in .json.",
)


@click.command(
    epilog=examples(
        "headway migrate inspect --from bullmq --source redis://localhost:6379/0",
        "headway migrate inspect --from arq --source redis://localhost:6379/0 --allow-pickle --json",
    )
)
@json_option("what was found")
@report_option
@takes_source
def inspect(given: Given, *, as_json: bool, report: str | None) -> None:
    """Look at what there is: queues, states, names of jobs, how old they are. Needs no map and no app."""
    import asyncio

    from headway.migrate.inspect import inspect as look
    from headway.migrate.progress import Meter

    line = ProgressLine(wanted=not as_json)

    async def work() -> Census:
        async with opened_source(given) as (source, queues):
            return await look(source, queues, Meter(line.show), states=states_of(given))

    try:
        census = asyncio.run(work())
    finally:
        line.end()
    _show_census("What was found", census, as_json=as_json, report=report)
    if not as_json:
        print_names(census)


@click.command(
    epilog=examples(
        "headway migrate plan --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app",
        "headway migrate plan --from bull --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app --json",
    )
)
@json_option("the plan")
@report_option
@click.option(
    "--failed", is_flag=True, help="Also what has failed there and has no attempts left, to be run anew."
)
@children_option
@takes_map
@takes_source
def plan(
    given: Given,
    *,
    map_: str,
    app: str | None,
    failed: bool,
    children: bool,
    as_json: bool,
    report: str | None,
) -> None:
    """Show what `apply` would move where, and check each job's arguments against its task. Nothing is changed.

    Exit code 1 when some jobs are refused: each reason with three examples.
    """
    import asyncio

    from headway.migrate.found import FoundState
    from headway.migrate.plan import plan as look
    from headway.migrate.progress import Meter

    line = ProgressLine(wanted=not as_json)
    states = states_of(given) | ({FoundState.FAILED} if failed else frozenset[FoundState]())

    async def work() -> tuple[Census, list[Line]]:
        async with opened_work(given, map_, app, failed=failed, children=children) as work:
            census = await look(*work[:4], Meter(line.show), states=states)
            return census, await work.repeatables.bring(work.queues, dry_run=True)

    try:
        census, lines = asyncio.run(work())
    finally:
        line.end()
    _show_census("Plan", census, as_json=as_json, report=report, lines=lines)
    if census.refused:
        msg = f"{census.refused} of {census.found} jobs are refused and would stay where they are"
        raise CommandFailed(msg)


def _show_census(
    title: str, census: Census, *, as_json: bool, report: str | None, lines: Sequence[Line] = ()
) -> None:
    from headway.cli.output import print_json
    from headway.migrate.report import census_fields, lines_fields

    fields = {**census_fields(census), "schedules": lines_fields(lines)}
    write_report(report, title, fields)
    if as_json:
        print_json(fields)
    else:
        print_census(census, moved="to move")
        print_lines(lines)


@click.command(
    epilog=examples(
        "headway migrate verify --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app",
        "headway migrate verify --from bullmq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app "
        "--report migration.md",
    )
)
@json_option("what was counted")
@report_option
@takes_map
@takes_source
def verify(given: Given, *, map_: str, app: str | None, as_json: bool, report: str | None) -> int:
    """Count: found = moved + left + refused + reverted, per queue and state, and compare arguments by their digests.

    Exit code 0 only when all is accounted for: nothing lost, doubled, changed, or on its way. Both sides may go on
    meanwhile.
    """
    import asyncio

    from headway.cli.output import print_json
    from headway.cli.routes.known import me
    from headway.migrate.merging import Glance, of_verified
    from headway.migrate.progress import Meter
    from headway.migrate.report import lines_fields, verified_fields
    from headway.migrate.status import Command
    from headway.migrate.verify import Verifying

    line = ProgressLine(wanted=not as_json)

    async def work() -> tuple[Verified, list[Line]]:
        async with opened_work(given, map_, app) as work:
            meter = Meter(line.show)
            verifying = Verifying(work.source, work.deciding, work.destination, meter)
            async with telling(work, given, Command.VERIFY) as heard:
                heard.glance = lambda: Glance(progress=meter.now())
                found = await verifying.verify(work.queues, states_of(given))
                lines = await work.repeatables.verify(work.queues)
                now_ms = work.app.clock.now_ms()
                heard.glance = lambda: of_verified(found, meter.now(), lines, who=me(), now_ms=now_ms)
            return found, lines

    try:
        found, lines = asyncio.run(work())
    finally:
        line.end()
    sound = found.sound and not lines
    fields = {**verified_fields(found), "ok": sound, "schedules": lines_fields(lines)}
    write_report(report, "Verification", fields)
    if as_json:
        print_json(fields)
    else:
        _print_verified(found)
        print_lines(lines)
    return 0 if sound else 1


def _print_verified(found: Verified) -> None:
    from headway.cli.output import Column, alarming, print_table, printable

    names = ("found", "moved", "left", "refused", "reverted", "under way")
    columns = [Column(name, right=True, colour=alarming if name == "under way" else None) for name in names]
    accounts = [found.accounts[key] for key in sorted(found.accounts)]
    rows = [
        [
            one.queue,
            one.state.value,
            *map(
                str, (one.found, one.moved, one.left + one.pending, one.refused, one.reverted, one.under_way)
            ),
        ]
        for one in accounts
    ]
    print_table([Column("queue"), Column("state"), *columns], rows, empty="no jobs")
    pending = sum(one.pending for one in accounts)
    dropped = sum(one.completed for one in accounts)
    if pending:
        emit(f"{pending} of those that are left would be moved by the next apply")
    if dropped:
        emit(
            f"{dropped} of those that were moved have no record here any more: they ended, as long ago as that is kept"
        )
    for one in found.troubles:
        emit(printable(f"{one.queue}: {one.source_id} {one.job_id}: {one.why}"))
    if found.more_troubles:
        emit(f"and {found.more_troubles} more of these")
    verdict = "all is accounted for" if found.sound else "NOT all is accounted for"
    emit(f"arguments of {found.compared} jobs compared: {verdict}")
