"""`headway schedules pause`, `resume`, `delete` and `run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget


@click.command(epilog=examples("headway schedules pause nightly-report --app shop.jobs:app"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option("the schedules that are paused now")
@takes_target
def pause(target: Target, *, names: tuple[str, ...], as_json: bool) -> None:
    """Pause schedules: fire times that come meanwhile are dropped."""
    _switch(target, names, paused=True, as_json=as_json)


@click.command(epilog=examples("headway schedules resume nightly-report --app shop.jobs:app"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option("the schedules that are paused now")
@takes_target
def resume(target: Target, *, names: tuple[str, ...], as_json: bool) -> None:
    """Resume schedules, from the next fire time on."""
    _switch(target, names, paused=False, as_json=as_json)


def _switch(target: Target, names: tuple[str, ...], *, paused: bool, as_json: bool) -> None:
    from headway.cli.output import print_json

    unknown, now = with_target(target, lambda opened: _switched(opened, names, paused=paused))
    if as_json:
        print_json({"paused": now})
    else:
        for name in names:
            if name not in unknown:
                emit(f"{name} {'paused' if paused else 'resumed'}")
    _fail(unknown)


async def _switched(
    opened: OpenTarget, names: tuple[str, ...], *, paused: bool
) -> tuple[list[str], list[str]]:
    """Return the names that are not known, and those of all schedules that are paused now."""
    from headway.app.made import MadeSchedules
    from headway.app.schedules import switch_declared
    from headway.clock import SystemClock
    from headway.errors import CodecError
    from headway.schedules.made import decode_definition

    carrier, clock, app = opened.carrier, SystemClock(), opened.app
    records = {record.name for record in await carrier.schedules()}
    if app is not None and any(name not in records and name in app.schedules for name in names):
        # Declared in the code, but no worker has run since: make it known, as a worker would.
        from headway.runtime.scheduler import declare_schedules

        await declare_schedules(app)
        records |= {*app.schedules}
    made = MadeSchedules(carrier, clock)
    unknown = [
        name
        for name in names
        if not (
            await switch_declared(carrier, clock, name, paused=paused)
            if name in records
            else await made.switch(name, paused=paused)
        )
    ]
    now = [record.name for record in await carrier.schedules() if record.paused]
    for one in await made.list():
        try:
            now += [one.name] if decode_definition(one.body).paused else []
        except CodecError:
            continue  # the list of schedules says so
    return unknown, sorted(set(now))


@click.command(epilog=examples("headway schedules delete tenant-7 tenant-8 --app shop.jobs:app"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option("the schedules that were deleted")
@takes_target
def delete(target: Target, *, names: tuple[str, ...], as_json: bool) -> None:
    """Delete schedules made at run time. The jobs that they have made stay; those in the code are deleted there."""
    from headway.cli.output import print_json

    async def deleted(opened: OpenTarget) -> list[str]:
        from headway.app.made import MadeSchedules
        from headway.clock import SystemClock

        made = MadeSchedules(opened.carrier, SystemClock())
        return [name for name in dict.fromkeys(names) if await made.delete(name)]

    gone = with_target(target, deleted)
    if as_json:
        print_json({"deleted": gone})
    else:
        for name in gone:
            emit(f"{name} deleted")
    _fail([name for name in dict.fromkeys(names) if name not in gone], " made at run time")


@click.command(epilog=examples("headway schedules run nightly-report --app shop.jobs:app"))
@click.argument("name")
@json_option("the job")
@takes_target
def run(target: Target, *, name: str, as_json: bool) -> None:
    """Enqueue a schedule's job now, beside its fire times. Needs --app: its task is in the code."""
    from headway.cli.output import print_json

    if target.app is None:
        msg = "schedules run needs --app: a schedule's task is in its code"
        raise click.UsageError(msg)

    async def enqueue(opened: OpenTarget) -> tuple[str, bool]:
        from headway.errors import ScheduleNotFoundError

        assert opened.app is not None  # noqa: S101 - for the type checkers
        try:
            handle = await opened.app.schedules.run(name)
        except ScheduleNotFoundError as error:
            there = ", ".join([one.name for one in await opened.app.schedules.list()])
            msg = f"the app has no schedule {name!r}; there are: {there or 'none'}"
            raise CommandFailed(msg) from error
        return handle.id, handle.duplicate

    job_id, duplicate = with_target(target, enqueue)
    if as_json:
        print_json({"id": job_id, "duplicate": duplicate})
    else:
        emit(job_id)


def _fail(unknown: list[str], kind: str = "") -> None:
    if unknown:
        msg = f"no schedule {', '.join(map(repr, unknown))}{kind}; `headway schedules list` shows those that are known"
        raise CommandFailed(msg)
