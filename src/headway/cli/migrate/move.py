"""`headway migrate apply`, `forward` and `revert`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.cli.failures import CommandFailed
from headway.cli.migrate.given import opened_work, states_of, takes_map, takes_source
from headway.cli.migrate.heard import telling
from headway.cli.migrate.look import children_option, report_option
from headway.cli.migrate.shown import ProgressLine, print_census, print_lines, write_report
from headway.cli.options import examples, json_option, yes_option
from headway.cli.streams import ask, emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.cli.migrate.given import Given, Work
    from headway.migrate.apply import Applied, Applier
    from headway.migrate.census import Census
    from headway.migrate.found import FoundState
    from headway.migrate.progress import Meter
    from headway.migrate.repeatables import Line
    from headway.migrate.revert import Reverted

_SHOWN = 10  # jobs that are named one by one

rate_option = click.option("--limit-rate", metavar="N/s", help="Move so many jobs a second at most, or N/m.")


@click.command(
    epilog=examples(
        "headway migrate apply --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app "
        "--allow-pickle",
        "headway migrate apply --from bullmq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app "
        "--limit-rate 200/s --yes",
    )
)
@json_option("what it came to")
@report_option
@yes_option
@click.option("--dry-run", is_flag=True, help="Show what would be moved, as plan does.")
@click.option(
    "--failed", is_flag=True, help="Also what has failed there and has no attempts left, to be run anew."
)
@children_option
@rate_option
@takes_map
@takes_source
def apply(  # noqa: PLR0913 - each is an option of its own
    given: Given,
    *,
    map_: str,
    app: str | None,
    limit_rate: str | None,
    failed: bool,
    children: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    report: str | None,
) -> None:
    """Move the jobs that wait there, once. Running ones stay with their workers.

    It may be interrupted at any moment: the same command goes on, and no job is lost or run by both. Exit code 1 when
    some jobs are refused: they are where they were.
    """
    import asyncio

    line = ProgressLine(wanted=not as_json)

    async def work() -> tuple[Applied | Census, list[Line]]:
        from headway.migrate.merging import of_applied, of_census
        from headway.migrate.plan import plan
        from headway.migrate.progress import Meter
        from headway.migrate.status import Command

        async with opened_work(given, map_, app, failed=failed, children=children) as work:
            states = _moving(failed=failed)
            if dry_run or not yes:
                looked_at = states_of(given) | states
                census = await plan(*work[:4], Meter(line.show), states=looked_at)
                line.end()
                lines = await work.repeatables.bring(work.queues, dry_run=True)
                if dry_run:
                    return census, lines
                if not as_json:
                    print_census(census, moved="to move")
                    print_lines(lines)
                if census.moved or any(one.outcome == "moved" for one in lines):
                    ask(f"Move {census.moved} jobs?", yes=False)
            applier, meter = _applier(work, states, line, limit_rate)
            async with telling(work, given, Command.APPLY) as heard:
                heard.glance = lambda: of_census(applier.census, meter.now())
                done = await applier.once(work.queues)
                lines = await work.repeatables.bring(work.queues)
                heard.glance = lambda: of_applied(done, meter.now(), lines)
            return done, lines

    try:
        done, lines = asyncio.run(work())
    finally:
        line.end()
    _show(done, lines, as_json=as_json, report=report)


@click.command(
    epilog=examples(
        "headway migrate forward --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app "
        "--allow-pickle",
    )
)
@json_option("what it came to, at the end")
@report_option
@children_option
@rate_option
@takes_map
@takes_source
def forward(
    given: Given,
    *,
    map_: str,
    app: str | None,
    limit_rate: str | None,
    children: bool,
    as_json: bool,
    report: str | None,
) -> None:
    """Move what waits there and, within a second, what old producers still add, until SIGTERM or Ctrl-C.

    A side that does not answer is asked again. One that is killed goes on when it is started again; two do not fight.
    """
    import asyncio
    import signal

    async def work() -> tuple[Applied, list[Line]]:
        from headway.migrate.merging import of_applied, of_census, with_lines
        from headway.migrate.status import Command

        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, stop.set)
        async with opened_work(given, map_, app, children=children) as work:
            applier, meter = _applier(work, _moving(failed=False), ProgressLine(wanted=False), limit_rate)
            say(f"forwarding the jobs of {', '.join(work.queues) or 'no queue'}")
            async with telling(work, given, Command.FORWARD) as heard:
                heard.glance = lambda: of_census(applier.census, meter.now())
                lines = await work.repeatables.bring(work.queues)
                heard.glance = lambda: with_lines(of_census(applier.census, meter.now()), lines)
                done = await applier.forever(work.queues, stop, say)
                heard.glance = lambda: of_applied(done, meter.now(), lines)
            return done, lines

    done, lines = asyncio.run(work())
    _show(done, lines, as_json=as_json, report=report)


@click.command(
    epilog=examples(
        "headway migrate revert --from arq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app",
        "headway migrate revert --from bullmq --source redis://localhost:6379/0 --map map.toml --app shop.jobs:app "
        "--queues mail --yes --json",
    )
)
@json_option("what it came to")
@report_option
@yes_option
@click.option("--dry-run", is_flag=True, help="Count what would go back.")
@takes_map
@takes_source
def revert(
    given: Given, *, map_: str, app: str | None, dry_run: bool, yes: bool, as_json: bool, report: str | None
) -> None:
    """Put jobs that were moved and have not started here back where they were: the workers there run them.

    Those that have started are named, with why they stay. End `forward` first, or it moves them again.
    """
    import asyncio

    line = ProgressLine(wanted=not as_json)

    async def work() -> tuple[Reverted, list[Line]]:
        from headway.migrate.merging import of_reverted, with_lines
        from headway.migrate.progress import Meter
        from headway.migrate.revert import Reverting
        from headway.migrate.status import Command

        async with opened_work(given, map_, app) as work:
            if not dry_run:
                ask(f"Put the jobs of {', '.join(work.queues)} back into {given.kind}?", yes=yes)
            meter = Meter(line.show)
            reverting = Reverting(work.source, work.destination, work.carrying, meter)
            if dry_run:
                done = await reverting.revert(work.queues, dry_run=True)
                return done, await work.repeatables.revert(work.queues, dry_run=True)
            async with telling(work, given, Command.REVERT) as heard:
                heard.glance = lambda: of_reverted(reverting.done, meter.now())
                done = await reverting.revert(work.queues)
                lines = await work.repeatables.revert(work.queues)
                heard.glance = lambda: with_lines(of_reverted(done, meter.now()), lines)
            return done, lines

    try:
        done, lines = asyncio.run(work())
    finally:
        line.end()
    _show_reverted(done, lines, dry_run=dry_run, as_json=as_json, report=report)


def _moving(*, failed: bool) -> frozenset[FoundState]:
    from headway.migrate.found import WAITING_STATES, FoundState

    return frozenset(WAITING_STATES) | ({FoundState.FAILED} if failed else frozenset[FoundState]())


def _applier(
    work: Work, states: frozenset[FoundState], line: ProgressLine, limit_rate: str | None
) -> tuple[Applier, Meter]:
    from headway.migrate.apply import Applier
    from headway.migrate.pace import Pace, parse_rate
    from headway.migrate.progress import Meter

    meter = Meter(line.show)
    applier = Applier(
        work.source,
        work.deciding,
        work.destination,
        work.carrying,
        meter=meter,
        pace=Pace(None if limit_rate is None else parse_rate(limit_rate)),
        states=states,
    )
    return applier, meter


def _show(done: Applied | Census, lines: Sequence[Line], *, as_json: bool, report: str | None) -> None:
    from headway.migrate.census import Census

    if isinstance(done, Census):
        _show_planned(done, lines, as_json=as_json, report=report)
    else:
        _show_applied(done, lines, as_json=as_json, report=report)


def _show_planned(census: Census, lines: Sequence[Line], *, as_json: bool, report: str | None) -> None:
    from headway.cli.output import print_json
    from headway.migrate.report import census_fields, lines_fields

    fields = {**census_fields(census), "schedules": lines_fields(lines)}
    write_report(report, "Plan", fields)
    if as_json:
        print_json(fields)
    else:
        print_census(census, moved="to move")
        print_lines(lines)
    _complain(census)


def _show_applied(done: Applied, lines: Sequence[Line], *, as_json: bool, report: str | None) -> None:
    from headway.cli.output import print_json, printable
    from headway.migrate.report import applied_fields, lines_fields

    fields = {**applied_fields(done), "schedules": lines_fields(lines)}
    write_report(report, "Migration", fields)
    if as_json:
        print_json(fields)
    else:
        print_census(done.census, moved="moved")
        print_lines(lines)
        if done.resumed:
            emit(
                f"{done.resumed} more were on their way when an earlier run was interrupted: they have arrived"
            )
    if done.doubtful:
        for one in done.doubtful[:_SHOWN]:
            say(printable(f"in doubt: {one.queue}: {one.source_id}"))
        msg = (
            f"{len(done.doubtful)} jobs were on their way when an earlier run was interrupted, and records of "
            "completed jobs have been dropped since: nobody can tell whether they ran. They stay in the ledger"
        )
        raise CommandFailed(msg)
    _complain(done.census)


def _complain(census: Census) -> None:
    if census.refused:
        msg = f"{census.refused} of {census.found} jobs are refused and are where they were"
        raise CommandFailed(msg)


def _show_reverted(
    done: Reverted, lines: Sequence[Line], *, dry_run: bool, as_json: bool, report: str | None
) -> None:
    from headway.cli.output import print_json, printable
    from headway.migrate.report import lines_fields, reverted_fields

    fields = {**reverted_fields(done), "schedules": lines_fields(lines)}
    write_report(report, "The way back", fields)
    if as_json:
        print_json(fields)
        return
    emit(f"{done.reverted} jobs {'would go' if dry_run else 'are'} back where they were")
    for one in done.stayed[:_SHOWN]:
        emit(printable(f"stays: {one.queue}: {one.source_id}, here {one.job_id}: {one.why}"))
    left = len(done.stayed[_SHOWN:]) + done.more_stayed
    if left:
        emit(f"and {left} more; --json or --report names them")
    print_lines(lines)
