"""`headway schedules`: list, pause, resume, and run one now."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.brokers.base import ScheduleRecord, ScheduleStore
    from headway.cli.target import OpenTarget


@click.group(
    epilog=examples(
        "headway schedules list --app shop.jobs:app",
        "headway schedules pause nightly-report --app shop.jobs:app",
    )
)
def schedules() -> None:
    """List schedules; pause, resume and run them."""


@schedules.command(
    "list",
    epilog=examples(
        "headway schedules list --app shop.jobs:app",
        "headway schedules list --url redis://localhost --namespace shop --json",
    ),
)
@json_option("the schedules")
@takes_target
def list_schedules(target: Target, *, as_json: bool) -> None:
    """List the schedules that workers made known; with --app also those just declared, and their next fire times."""
    from headway.cli.output import print_json

    found = with_target(target, _read)
    if as_json:
        print_json({"schedules": found})
    else:
        _print_schedules(found)


async def _read(opened: OpenTarget) -> list[dict[str, Any]]:
    from headway.cli.render import iso
    from headway.clock import SystemClock, from_ms, to_ms
    from headway.schedules.schedule import ScheduleError, next_wake

    known = {record.name: record for record in await opened.carrier.schedules()}
    declared = dict(opened.app.schedules) if opened.app is not None else {}
    now = from_ms(SystemClock().now_ms())
    found: list[dict[str, Any]] = []
    for name in sorted({*known, *declared}):
        record, scheduled = known.get(name), declared.get(name)
        next_fire = None
        if scheduled is not None:
            with suppress(ScheduleError):  # a schedule without a next time is listed like the others
                next_fire = to_ms(next_wake(scheduled.schedule, None, now))
        paused = record is not None and record.paused
        found.append(
            {
                "name": name,
                "spec": str(scheduled.schedule) if scheduled is not None else _field(record, "spec"),
                "task": scheduled.task.name if scheduled is not None else _field(record, "task"),
                "paused": paused,
                "last_fire_at": iso(None if record is None else record.last_fire_ms),
                "next_fire_at": None if paused else iso(next_fire),
                "known_to_carrier": record is not None,
            }
        )
    return found


def _field(record: ScheduleRecord | None, name: str) -> str:
    return "" if record is None else str(getattr(record, name))


def _print_schedules(found: list[dict[str, Any]]) -> None:
    from headway.cli.output import Column, print_table, yellow

    print_table(
        [
            Column("name"),
            Column("", colour=yellow),
            Column("when"),
            Column("task"),
            Column("last fire"),
            Column("next fire"),
        ],
        [
            [
                schedule["name"],
                "paused" if schedule["paused"] else "" if schedule["known_to_carrier"] else "new",
                schedule["spec"],
                schedule["task"],
                schedule["last_fire_at"] or "-",
                schedule["next_fire_at"] or "-",
            ]
            for schedule in found
        ],
        empty="no schedules: none is declared, or no worker has run yet",
    )


@schedules.command(epilog=examples("headway schedules pause nightly-report --app shop.jobs:app"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option("the schedules that are paused now")
@takes_target
def pause(target: Target, *, names: tuple[str, ...], as_json: bool) -> None:
    """Pause schedules: fire times that come meanwhile are dropped."""
    _switch(target, names, paused=True, as_json=as_json)


@schedules.command(epilog=examples("headway schedules resume nightly-report --app shop.jobs:app"))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option("the schedules that are paused now")
@takes_target
def resume(target: Target, *, names: tuple[str, ...], as_json: bool) -> None:
    """Resume schedules, from the next fire time on."""
    _switch(target, names, paused=False, as_json=as_json)


def _switch(target: Target, names: tuple[str, ...], *, paused: bool, as_json: bool) -> None:
    from headway.cli.output import print_json

    async def switch(opened: OpenTarget) -> tuple[list[str], list[str]]:
        carrier = opened.carrier
        records = {record.name for record in await carrier.schedules()}
        if opened.app is not None and any(
            name not in records and name in opened.app.schedules for name in names
        ):
            # Declared in the code, but no worker has run since: make it known, as a worker would.
            from headway.runtime.scheduler import declare_schedules

            await declare_schedules(opened.app)
        if not paused:
            await _drop_missed(carrier, names)
        unknown = [name for name in names if not await carrier.pause_schedule(name, paused=paused)]
        return unknown, sorted(record.name for record in await carrier.schedules() if record.paused)

    unknown, now = with_target(target, switch)
    if as_json:
        print_json({"paused": now})
    else:
        for name in names:
            if name not in unknown:
                emit(f"{name} {'paused' if paused else 'resumed'}")
    if unknown:
        msg = f"no schedule {', '.join(map(repr, unknown))}; `headway schedules list` shows those that are known"
        raise CommandFailed(msg)


async def _drop_missed(carrier: ScheduleStore, names: tuple[str, ...]) -> None:
    """Drop the fire times of the pause: where no scheduler ran meanwhile, nobody has done so yet."""
    from headway.clock import SystemClock
    from headway.job import Fire

    now = SystemClock().now_ms()
    for record in await carrier.schedules():
        if record.paused and record.name in names and (record.last_fire_ms or 0) < now:
            await carrier.skip_fire(Fire(record.name, now))


@schedules.command(epilog=examples("headway schedules run nightly-report --app shop.jobs:app"))
@click.argument("name")
@json_option("the job")
@takes_target
def run(target: Target, *, name: str, as_json: bool) -> None:
    """Enqueue a schedule's job now, beside its fire times. Needs --app: its arguments are in the code."""
    from headway.cli.output import print_json

    if target.app is None:
        msg = "schedules run needs --app: a schedule's arguments are in its code"
        raise click.UsageError(msg)

    async def enqueue(opened: OpenTarget) -> tuple[str, bool]:
        if opened.app is None or name not in opened.app.schedules:
            declared = ", ".join(sorted(opened.app.schedules)) if opened.app is not None else ""
            msg = f"the app has no schedule {name!r}; declared: {declared or 'none'}"
            raise CommandFailed(msg)
        accepted = await opened.app.accept(opened.app.schedules[name].job_now())
        return accepted.duplicate_of or accepted.id, accepted.duplicate_of is not None

    job_id, duplicate = with_target(target, enqueue)
    if as_json:
        print_json({"id": job_id, "duplicate": duplicate})
    else:
        emit(job_id)
