"""`headway schedules list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headway.cli.options import examples, json_option
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from datetime import datetime

    from headway.app.scheduleinfo import ScheduleInfo
    from headway.cli.target import OpenTarget


@click.command(
    "list",
    epilog=examples(
        "headway schedules list --app shop.jobs:app",
        "headway schedules list --url redis://localhost --namespace shop --json",
    ),
)
@json_option("the schedules")
@takes_target
def list_schedules(target: Target, *, as_json: bool) -> None:
    """List the schedules made at run time and those that workers made known; with --app also those just declared.

    Without --app nobody knows when those in the code are due next.
    """
    from headway.cli.output import print_json

    found = with_target(target, _read)
    if as_json:
        print_json({"schedules": [schedule_fields(one) for one in found]})
    else:
        _print_schedules(found)


async def _read(opened: OpenTarget) -> list[ScheduleInfo]:
    from headway.app.made import MadeSchedules
    from headway.app.scheduleinfo import declared_info, made_info
    from headway.clock import SystemClock, from_ms

    if opened.app is not None:
        return await opened.app.schedules.list()
    clock = SystemClock()
    now = from_ms(clock.now_ms())
    records = {record.name: record for record in await opened.carrier.schedules()}
    made = await MadeSchedules(opened.carrier, clock).list()
    found = [declared_info(name, None, record, now) for name, record in records.items()]
    found += [made_info(one, None, now, shadowed=one.name in records) for one in made]
    return sorted(found, key=lambda one: (one.name, one.made))


def schedule_fields(one: ScheduleInfo) -> dict[str, Any]:
    """Return a schedule for JSON. The arguments of one in the code are shown there."""
    fields = {
        "name": one.name,
        "spec": one.spec,
        "task": one.task,
        "paused": one.paused,
        "last_fire_at": _iso(one.last_fire),
        "next_fire_at": _iso(one.next_fire),
        "known_to_carrier": one.known,
        "made_at_run_time": one.made,
        "catch_up": str(one.catch_up),
    }
    if one.made:
        fields |= {
            "args": [_plain(value) for value in one.args],
            "kwargs": {name: _plain(value) for name, value in one.kwargs.items()},
            "queue": one.queue,
            "priority": one.priority,
            "until": _iso(one.until),
            "problem": one.problem or None,
        }
    return fields


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value
    from msgspec import to_builtins

    from headway.codec import to_builtin

    return to_builtins(value, enc_hook=to_builtin, str_keys=True)


def _iso(instant: datetime | None) -> str | None:
    from headway.cli.render import iso
    from headway.clock import to_ms

    return None if instant is None else iso(to_ms(instant))


def _print_schedules(found: list[ScheduleInfo]) -> None:
    from headway.cli.output import Column, print_table, yellow

    print_table(
        [
            Column("name"),
            Column("", colour=yellow),
            Column("when"),
            Column("task"),
            Column("from"),
            Column("last fire"),
            Column("next fire"),
        ],
        [
            [
                one.name,
                _mark(one),
                one.spec,
                one.task,
                "run time" if one.made else "code",
                _iso(one.last_fire) or "-",
                _iso(one.next_fire) or "-",
            ]
            for one in found
        ],
        empty="no schedules: none is declared or made, or no worker has run yet",
    )
    from headway.cli.streams import say

    for one in found:
        if one.problem:
            say(f"headway: schedule {one.name!r}: {one.problem}")


def _mark(one: ScheduleInfo) -> str:
    if one.problem:
        return "broken"
    return "paused" if one.paused else "" if one.known else "new"
