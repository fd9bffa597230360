"""`headway routes move`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.routes.completion import complete_queue
from headway.cli.streams import emit, say
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget
    from headway.routing.moving import Moved

_SHOWN = 10  # refused jobs that are named one by one


@click.command(
    epilog=examples(
        "headway routes move reports --from main --to push --app shop.jobs:app",
        "headway routes move reports --from push --to main --app shop.jobs:app --json",
    )
)
@click.argument("name", metavar="QUEUE", shell_complete=complete_queue)
@click.option("--from", "source", required=True, metavar="CARRIER", help="Where the jobs wait now.")
@click.option("--to", "goal", required=True, metavar="CARRIER", help="Where they are to wait.")
@json_option("what it came to")
@takes_target
def move(target: Target, *, name: str, source: str, goal: str, as_json: bool) -> None:
    """Take the jobs that wait in QUEUE over to another carrier, with their ids, keys, due times and attempts.

    Running jobs end where they are. Set the route first, or new jobs go on arriving there. It may be interrupted at any
    moment: the same command goes on, and no job is lost or run by both. Exit code 1 when some jobs are refused.
    """

    async def work(opened: OpenTarget) -> Moved:
        from headway.names import checked_name
        from headway.routing.moving import move_waiting

        def told(done: Moved) -> None:
            if not as_json:
                say(f"{done.moved} moved ...")

        await _settled(opened)
        return await move_waiting(opened.carriers, checked_name("queue", name), source, goal, told=told)

    done = with_target(target, work)
    if as_json:
        from headway.cli.output import print_json

        print_json(
            {
                "moved": done.moved,
                "resumed": done.resumed,
                "left": done.left,
                "refused": [{"id": one, "why": why} for one, why in done.refused],
            }
        )
    else:
        emit(f"{done.moved} jobs of {name} moved from {source} to {goal}, {done.left} left where they are")
        for one, why in done.refused[:_SHOWN]:
            emit(f"refused: {one}: {why}")
    if done.refused:
        msg = f"{len(done.refused)} jobs are refused by {goal} and wait on {source} as before"
        raise CommandFailed(msg)


async def _settled(opened: OpenTarget) -> None:
    """Wait until each producer goes by the last change of the routes.

    Until then some enqueue where the jobs wait now, after they have asked where these are to go: a name that is moved
    in between would be met by neither.
    """
    import asyncio

    from headway.cli.routes.known import clock_of
    from headway.routing.changing import control_carrier, read_routes

    control = control_carrier(opened.carriers)
    if control is not None:
        stored = await read_routes(control[1], clock_of(opened))
        if stored.unsettled > 0:
            say(f"headway: the routes were changed a moment ago: waiting {stored.unsettled:.1f} s")
            await asyncio.sleep(stored.unsettled)
