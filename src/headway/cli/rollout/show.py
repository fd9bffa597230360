"""`headway rollout status` and `history`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.routes.completion import complete_queue
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget
    from headway.routing.keeping import Listed, StoredRollout


class _Seen(NamedTuple):
    listed: Listed
    stored: list[StoredRollout]


@click.command(
    epilog=examples(
        "headway rollout status --app shop.jobs:app",
        "headway rollout status reports --app shop.jobs:app --json",
    )
)
@click.argument("name", metavar="[QUEUE]", required=False, shell_complete=complete_queue)
@json_option("the roll-outs")
@takes_target
def status(target: Target, *, name: str | None, as_json: bool) -> None:
    """Show the roll-outs that are under way, or the last one of QUEUE with its figures."""
    from headway.cli.output import print_json
    from headway.cli.rollout.words import rollout_fields

    seen = with_target(target, lambda opened: _see(opened, name))
    if as_json:
        document: dict[str, Any] = {"rollouts": [rollout_fields(one) for one in seen.stored]}
        if name is None:
            document["plan"] = _campaign_fields(seen.listed)
        print_json(document)
        return
    _print(seen)
    if name is None:
        _print_campaign(seen.listed)
    else:
        _print_judgements(seen.stored[0])


@click.command(
    epilog=examples(
        "headway rollout history reports --app shop.jobs:app",
        "headway rollout history reports --app shop.jobs:app --json",
    )
)
@click.argument("name", metavar="QUEUE", shell_complete=complete_queue)
@json_option("the decisions")
@takes_target
def history(target: Target, *, name: str, as_json: bool) -> None:
    """Show the decisions of the last roll-out of QUEUE, the first one first, with the figures they rest on."""
    from headway.cli.output import print_json, printable
    from headway.cli.render import iso
    from headway.cli.rollout.words import decision_fields, decision_text
    from headway.routing.rollout.judgement import figures_in_words

    [stored] = with_target(target, lambda opened: _see(opened, name)).stored
    if as_json:
        print_json({"queue": name, "decisions": [decision_fields(one) for one in stored.decisions]})
        return
    for one in stored.decisions:
        head = click.style(f"{one.percent:3} %", bold=True)
        emit(f"{iso(one.at_ms)}  {head}  {printable(decision_text(one))}")
        for line in figures_in_words(one.judgements):
            emit(f"    {printable(line)}")


async def _see(opened: OpenTarget, name: str | None) -> _Seen:
    from headway.names import checked_name
    from headway.routing.changing import control_of
    from headway.routing.keeping import read_listed, read_rollout

    control = control_of(opened.carriers)
    listed = await read_listed(control)
    queues = listed.queues if name is None else (checked_name("queue", name),)
    found = [await read_rollout(control, queue) for queue in queues]
    stored = [one for one in found if one is not None]
    if name is not None and not stored:
        msg = f"queue {name} has no roll-out: headway rollout start begins one"
        raise CommandFailed(msg)
    return _Seen(listed, stored)


def _print(seen: _Seen) -> None:
    from headway.cli.output import Column, print_table
    from headway.cli.render import relative
    from headway.cli.rollout.words import decision_text

    print_table(
        [
            Column("queue"),
            Column("to"),
            Column("status"),
            Column("now"),
            Column("steps"),
            Column("looked at"),
        ],
        [
            [
                one.rollout.plan.queue,
                one.rollout.plan.to,
                str(one.rollout.status),
                f"{one.rollout.percent} %",
                ",".join(map(str, one.rollout.plan.steps)),
                relative(one.rollout.looked_ms, one.now_ms),
            ]
            for one in seen.stored
        ],
        empty="no roll-out is under way",
    )
    from headway.cli.output import printable

    for one in seen.stored:
        emit(printable(f"{one.rollout.plan.queue}: {decision_text(one.rollout.decision)}"))


def _print_judgements(stored: StoredRollout) -> None:
    from headway.cli.output import printable
    from headway.routing.rollout.judgement import figures_in_words

    for line in figures_in_words(stored.rollout.decision.judgements):
        emit(f"  {printable(line)}")


def _campaign_fields(listed: Listed) -> dict[str, Any] | None:
    campaign = listed.campaign
    if campaign is None:
        return None
    return {
        "queues": [plan.queue for plan in campaign.plans],
        "done": campaign.done,
        "stopped": campaign.stopped or None,
    }


def _print_campaign(listed: Listed) -> None:
    from headway.cli.output import printable

    campaign = listed.campaign
    if campaign is None:
        return
    order = ", ".join(plan.queue for plan in campaign.plans)
    stopped = f"; stopped: {campaign.stopped}" if campaign.stopped else ""
    emit(printable(f"plan of {order}: {campaign.done} of {len(campaign.plans)} done{stopped}"))
