"""`headway rollout run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.cli.options import examples, json_option
from headway.cli.routes.completion import complete_queue
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget
    from headway.routing.keeping import StoredRollout


@click.command(
    epilog=examples(
        "headway rollout run reports --app shop.jobs:app",
        "headway rollout run reports --app shop.jobs:app --json",
    )
)
@click.argument("name", metavar="QUEUE", shell_complete=complete_queue)
@json_option("each decision on one line,")
@takes_target
def run(target: Target, *, name: str, as_json: bool) -> int:
    """Do the next steps of roll-outs until that of QUEUE is over, and print its decisions.

    Workers of the app do the steps themselves; it may run beside them, and may be ended at any moment. Exit code 0 when
    the roll-out was completed, 1 when it was rolled back or aborted.
    """
    ended = with_target(target, lambda opened: _run(opened, name, as_json=as_json))
    return 0 if ended.rollout.status.completed else 1


async def _run(opened: OpenTarget, name: str, *, as_json: bool) -> StoredRollout:
    import asyncio
    from uuid import uuid4

    from headway.app.rollouts import controller
    from headway.cli.failures import CommandFailed
    from headway.cli.routes.known import clock_of, me
    from headway.names import checked_name
    from headway.routing.changing import control_of
    from headway.routing.controller import LOOK
    from headway.routing.keeping import read_listed, read_rollout

    queue, control = checked_name("queue", name), control_of(opened.carriers)
    holder = f"rollout run {me()[:100]} {uuid4().hex[:8]}"
    ours = controller(opened.carriers, opened.settings, clock_of(opened), holder=holder)
    shown = 0
    try:
        while True:
            pause = LOOK if ours is None else min(LOOK, await ours.round())
            stored = await read_rollout(control, queue)
            if stored is None:
                msg = f"queue {queue} has no roll-out: headway rollout start begins one"
                raise CommandFailed(msg)
            shown = _print_since(stored, shown, as_json=as_json)
            if stored.rollout.status.over and queue not in (await read_listed(control)).queues:
                return stored
            await asyncio.sleep(pause)
    finally:
        if ours is not None:
            await ours.finish()


def _print_since(stored: StoredRollout, shown: int, *, as_json: bool) -> int:
    """Print the decisions behind that number; return the number of the last one."""
    from headway.cli.output import print_json_line, printable
    from headway.cli.render import iso
    from headway.cli.rollout.words import decision_fields, decision_text

    for one in stored.decisions:
        if one.number <= shown:
            continue
        if as_json:
            print_json_line(decision_fields(one))
        else:
            emit(f"{iso(one.at_ms)}  {one.percent:3} %  {printable(decision_text(one))}")
        shown = one.number
    return shown
