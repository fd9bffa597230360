"""`headway rollout pause`, `resume`, `promote` and `abort`."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from headway.cli.options import examples, json_option
from headway.cli.routes.completion import complete_queue
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.cli.target import OpenTarget
    from headway.routing.rollout.rollout import Decision, Rollout
    from headway.routing.steering import Ask


def _takes_queue(function: Callable[..., None]) -> Callable[..., None]:
    """Add what all of these commands take."""

    @click.argument("name", metavar="QUEUE", shell_complete=complete_queue)
    @click.option("--reason", default="", help="Why; kept with the decision.")
    @click.option("--who", default=None, help="Who asks; kept with the decision.  [default: user@host]")
    @json_option("the decision")
    @takes_target
    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the command's own
        function(*args, **kwargs)

    return command


@click.command(epilog=examples("headway rollout pause reports --reason 'a deploy' --app shop.jobs:app"))
@_takes_queue
def pause(target: Target, *, name: str, reason: str, who: str | None, as_json: bool) -> None:
    """Keep the roll-out of QUEUE at its step until it is resumed. A broken limit still rolls it back."""
    from headway.routing.rollout import asking

    by = _by(who)
    _ask(target, name, lambda rollout, _, now: asking.pause(rollout, now, by), by, reason, as_json=as_json)


@click.command(epilog=examples("headway rollout resume reports --app shop.jobs:app"))
@_takes_queue
def resume(target: Target, *, name: str, reason: str, who: str | None, as_json: bool) -> None:
    """Go on with a paused roll-out. A route that was changed by hand is set to that of the step again."""
    from headway.routing.rollout import asking

    by = _by(who)
    _ask(
        target,
        name,
        lambda rollout, route, now: asking.resume(rollout, route, now, by),
        by,
        reason,
        as_json=as_json,
    )


@click.command(epilog=examples("headway rollout promote reports --app shop.jobs:app"))
@_takes_queue
def promote(target: Target, *, name: str, reason: str, who: str | None, as_json: bool) -> None:
    """Go to the next step now, whatever has been measured; after the last step the roll-out is completed."""
    from headway.routing.rollout import asking

    by = _by(who)
    _ask(target, name, lambda rollout, _, now: asking.promote(rollout, now, by), by, reason, as_json=as_json)


@click.command(epilog=examples("headway rollout abort reports --reason 'not today' --app shop.jobs:app"))
@_takes_queue
def abort(target: Target, *, name: str, reason: str, who: str | None, as_json: bool) -> None:
    """Go back to the route of before the roll-out, at once; waiting jobs do as its start said."""
    from headway.routing.rollout import asking

    by = _by(who)
    _ask(
        target,
        name,
        lambda rollout, route, now: asking.abort(rollout, route, now, by),
        by,
        reason,
        as_json=as_json,
    )


def _by(who: str | None) -> str:
    from headway.cli.routes.known import me

    return who or me()


def _ask(target: Target, name: str, wish: Ask, who: str, reason: str, *, as_json: bool) -> None:
    async def work(opened: OpenTarget) -> tuple[Rollout, Decision]:
        from headway.cli.routes.known import clock_of, declared_of
        from headway.names import checked_name
        from headway.routing.changing import control_of
        from headway.routing.steering import ask

        queue, control = checked_name("queue", name), control_of(opened.carriers)
        return await ask(control, declared_of(opened), queue, wish, clock_of(opened), who=who, reason=reason)

    rollout, made = with_target(target, work)
    from headway.cli.output import print_json, printable
    from headway.cli.rollout.words import decision_fields, decision_text

    if as_json:
        print_json({"queue": name, "status": str(rollout.status), "decision": decision_fields(made)})
    else:
        emit(printable(f"{name}: {decision_text(made)}; the roll-out is {rollout.status}"))
