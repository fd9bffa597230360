"""`headway migrate status`: how the migrations into an app stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.cli.failures import CommandFailed
from headway.cli.migrate.look import report_option
from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, opened, takes_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import ControlStore
    from headway.cli.target import OpenTarget
    from headway.migrate.viewing import MigrationView

_AGAIN_S = 2.0  # commands tell how they get on as often


@click.command(
    epilog=examples(
        "headway migrate status --app shop.jobs:app",
        "headway migrate status --watch --app shop.jobs:app",
        "headway migrate status --json --app shop.jobs:app | jq '.migrations[].state'",
        "headway migrate status --report migration.md --app shop.jobs:app",
    )
)
@json_option("the migrations; with --watch a line for each change")
@report_option
@click.option("--watch", is_flag=True, help="Show it again with each change, until no command is at work.")
@takes_target
def status(target: Target, *, watch: bool, as_json: bool, report: str | None) -> None:
    """Show how far the migrations into an app are, as apply, forward, revert and verify told it.

    It asks the app's carrier, never a source, so it needs no source's password. What nobody has worked on for 30 days
    is forgotten. Exit code 1 when a command stopped in the middle or failed, or verify did not find all.
    """
    import asyncio

    found = asyncio.run(_watched(target, as_json=as_json) if watch else _once(target))
    if not watch:
        _show(found, as_json=as_json)
    if report is not None:
        from pathlib import Path

        Path(report).write_text("\n".join(one.report for one in found) or "# Migration\n", encoding="utf-8")
    _complain(found)


async def _once(target: Target) -> list[MigrationView]:
    async with opened(target) as here:
        return await _read(_control(here))


async def _watched(target: Target, *, as_json: bool) -> list[MigrationView]:
    import asyncio

    from headway.migrate.standing import MigrationState

    shown: list[MigrationView] = []
    async with opened(target) as here:
        control = _control(here)
        while True:
            found = await _read(control)
            if _without_instants(found) != _without_instants(shown) or not shown:
                _show(found, as_json=as_json, lines=True)
                shown = found
            if not any(one.state is MigrationState.RUNNING for one in found):
                return found
            await asyncio.sleep(_AGAIN_S)


def _control(here: OpenTarget) -> ControlStore:
    from headway.routing.changing import control_of

    return control_of(here.carriers)


async def _read(control: ControlStore) -> list[MigrationView]:
    from headway.migrate.keeping import read_migrations
    from headway.migrate.viewing import view

    return [view(one) for one in await read_migrations(control)]


def _without_instants(found: Sequence[MigrationView]) -> list[MigrationView]:
    from msgspec.structs import replace

    return [replace(one, seen_at=None, run=None, runs=[], report="") for one in found]


def _show(found: Sequence[MigrationView], *, as_json: bool, lines: bool = False) -> None:
    from msgspec import to_builtins

    from headway.cli.output import print_json, print_json_line, printable

    if as_json:
        document = {"migrations": [to_builtins(one) for one in found]}
        if lines:
            print_json_line(document)
        else:
            print_json(document)
        return
    if not found:
        emit("no migration: none was begun, or none in the last 30 days")
    for one in found:
        _print_head(one)
        _print_rows(one)
        for reason in one.reasons:
            some = ", ".join(f"{each.source_id} ({each.name})" for each in reason.examples)
            what = "refused" if reason.refused else "left"
            words = f"{what}, {reason.queue} {reason.state.value}: {reason.count:,}: {reason.why}"
            emit(printable(f"{words}; such as {some}" if some else words))
        if one.verdict is not None:
            for trouble in one.verdict.troubles:
                emit(printable(f"{trouble.queue}: {trouble.source_id} {trouble.job_id}: {trouble.why}"))
        for step in one.next:
            emit(printable(f"next: {step.command}"))
            emit(printable(f"      {step.why}"))


def _print_head(one: MigrationView) -> None:
    from headway.cli.output import printable
    from headway.cli.render import relative
    from headway.clock import SystemClock, to_ms

    name = f"{one.kind} at {one.server} {one.identity}".strip()
    emit(click.style(printable(name), bold=True) + f"  {one.state}")
    emit(printable(one.said))
    run = one.run
    if run is not None:
        seen = relative(to_ms(run.seen_at), SystemClock().now_ms())
        rate = f", {run.rate:,.0f}/s" if run.rate else ""
        left = f", about {run.left_s:,.0f} s left" if run.left_s else ""
        of_all = f" of about {run.total:,}" if run.total else ""
        emit(
            printable(
                f"{run.command} by {run.who}: {run.looked_at:,}{of_all} looked at{rate}{left}; heard of {seen}"
            )
        )


def _print_rows(one: MigrationView) -> None:
    from headway.cli.output import Column, alarming, print_table

    names = ("found", "moved", "left", "refused", "reverted", "pending", "under way")
    rows = [
        [
            row.queue,
            row.state.value,
            *map(
                str,
                (row.found, row.moved, row.left, row.refused, row.reverted, row.pending, row.under_way),
            ),
        ]
        for row in one.rows
    ]
    columns = [Column(name, right=True, colour=alarming if name == "under way" else None) for name in names]
    print_table([Column("queue"), Column("state"), *columns], rows, empty="no jobs")


def _complain(found: Sequence[MigrationView]) -> None:
    from headway.migrate.standing import TROUBLED

    bad = [one for one in found if one.state in TROUBLED]
    if bad:
        msg = f"{len(bad)} of {len(found)} migrations: {bad[0].said}"
        raise CommandFailed(msg)
