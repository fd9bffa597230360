"""`headway jobs watch`: what happens to jobs, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.cli.ids import checked_ids
from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget


@click.command(
    epilog=examples(
        "headway jobs watch --app shop.jobs:app",
        "headway jobs watch --app shop.jobs:app --queue email --kind failed --json",
    )
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--queue", "queues", multiple=True, help="Only of this queue; may repeat.")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind, such as failed; may repeat.")
@click.option(
    "--after", metavar="CURSOR", help="Go on behind the event with this cursor, as far back as is kept."
)
@click.option("--limit", type=click.IntRange(1), help="End after so many events.")
@json_option("each event on one line,")
@takes_target
def watch(
    target: Target,
    *,
    ids: tuple[str, ...],
    queues: tuple[str, ...],
    kinds: tuple[str, ...],
    after: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print what happens to jobs, as it happens, until Ctrl-C."""
    from headway.cli.output import print_json_line, printable, state_colour
    from headway.cli.render import event_fields, iso
    from headway.events import EventKind

    known = {kind.value for kind in EventKind}
    for kind in kinds:
        if kind not in known:
            msg = f"--kind {kind!r}: there is no such event; known are {', '.join(sorted(known))}"
            raise click.UsageError(msg)
    wanted = frozenset(checked_ids(ids))

    async def follow(opened: OpenTarget) -> None:
        printed = 0
        async for event in opened.carrier.events(after):
            if (
                (wanted and event.job_id not in wanted)
                or (queues and event.queue not in queues)
                or (kinds and event.kind.value not in kinds)
            ):
                continue
            if as_json:
                print_json_line(event_fields(event))
            else:
                shown = click.style(f"{event.kind.value:<10}", fg=state_colour(event.kind.value))
                rest = printable(f"{event.job_id}  {event.queue}  {event.worker or ''}".rstrip())
                emit(f"{iso(event.at_ms)}  {shown}  {rest}")
            printed += 1
            if printed == limit:
                return

    with_target(target, follow)
