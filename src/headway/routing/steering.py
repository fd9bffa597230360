"""What people do to roll-outs in the control store: begin one, and ask one that runs for something.

The roll-out is written first, then the route. Whoever dies in between leaves a decision whose route is not in force:
the next look of any controller puts it in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from headway.errors import ConfigError
from headway.routing.changing import read_routes
from headway.routing.keeping import (
    Listed,
    change_listed,
    read_rollout,
    set_route,
    store_now,
    write_rollout,
)
from headway.routing.rollout.asking import RolloutError
from headway.routing.rollout.campaign import Campaign
from headway.routing.rollout.plan import check_against
from headway.routing.rollout.rollout import start
from headway.routing.table import MAX_WHY
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import ControlStore
    from headway.clock import Clock
    from headway.routing.declared import Declared
    from headway.routing.keeping import StoredRollout
    from headway.routing.rollout.plan import Plan
    from headway.routing.rollout.rollout import Decision, Rollout
    from headway.routing.routes import Route

    Ask = Callable[[Rollout, Route, int], tuple[Rollout, Decision]]

_TRIES: Final = 20


async def check_begin(
    control: ControlStore, declared: Declared, plan: Plan, clock: Clock
) -> tuple[Route, StoredRollout | None]:
    """Return the route in force and the queue's last roll-out.

    ConfigError when the plan does not fit that route, RolloutError when a roll-out of the queue is under way.
    """
    routes, stored = await read_routes(control, clock), await read_rollout(control, plan.queue)
    route = declared.route(routes.table, plan.queue)
    if stored is not None:
        earlier = stored.rollout
        if not earlier.status.over:
            msg = (
                f"a roll-out of queue {plan.queue} to {earlier.plan.to} is under way, {earlier.status} at "
                f"{earlier.percent} %: abort it first, or let it end"
            )
            raise RolloutError(msg)
        if earlier.unconfirmed and (route.runs, route.by) == (earlier.was, earlier.was_by) != (
            earlier.runs,
            earlier.by,
        ):
            msg = f"the last roll-out of queue {plan.queue} is {earlier.status}; its route is not back yet: try again"
            raise RolloutError(msg)
    check_against(plan, route, declared.carriers)
    if touched := [name for name in (plan.to, *route.weights) if name in routes.table.drained]:
        msg = f"roll-out of {plan.queue}: carrier {touched[0]} is drained: end that first, or let it become empty"
        raise ConfigError(msg)
    return route, stored


async def begin(
    control: ControlStore, declared: Declared, plan: Plan, clock: Clock, *, who: str, reason: str = ""
) -> Rollout:
    """Begin a roll-out and set the route of its first step; errors as `check_begin`, and nothing is written then."""
    route, stored = await check_begin(control, declared, plan, clock)
    queue = plan.queue
    rollout = start(plan, route, await store_now(control), who)
    rollout, _ = _because(rollout, rollout.decision, reason)
    expected = 0 if stored is None else stored.version
    if not await write_rollout(control, rollout, (rollout.decision,), expected=expected):
        msg = f"a roll-out of queue {queue} was begun by somebody else just now: look at its status"
        raise RolloutError(msg)
    # Listed before its route is set: no job goes where nobody guards it. And again behind it: whoever saw the end of an
    # earlier one may have taken the queue from the list meanwhile.
    await change_listed(control, lambda listed: listed.including(queue))
    await set_route(control, declared, rollout, rollout.decision, clock, who=who)
    await change_listed(control, lambda listed: listed.including(queue))
    return rollout


async def begin_all(
    control: ControlStore,
    declared: Declared,
    plans: tuple[Plan, ...],
    clock: Clock,
    *,
    who: str,
    reason: str = "",
) -> Rollout:
    """Begin the first of several roll-outs; each next one begins when the one before it is completed.

    All are checked first. RolloutError also when a plan of several is under way.
    """
    for plan in plans:
        await check_begin(control, declared, plan, clock)
    now_ms = await store_now(control)

    def edit(listed: Listed) -> Listed:
        if listed.campaign is not None and listed.campaign.plan is not None:
            queue = listed.campaign.plan.queue
            msg = f"a plan of several queues is under way, at queue {queue}: abort that roll-out first, or let it end"
            raise RolloutError(msg)
        return Listed(listed.queues, Campaign(plans), now_ms)

    await change_listed(control, edit)
    return await begin(control, declared, plans[0], clock, who=who, reason=reason)


async def ask(
    control: ControlStore,
    declared: Declared,
    queue: str,
    wish: Ask,
    clock: Clock,
    *,
    who: str,
    reason: str = "",
) -> tuple[Rollout, Decision]:
    """Do what `asking` has (pause, resume, promote, abort); RolloutError when the roll-out cannot, or there is none."""
    for _ in range(_TRIES):
        stored = await read_rollout(control, queue)
        if stored is None:
            msg = f"queue {queue} has no roll-out: headway rollout start begins one"
            raise RolloutError(msg)
        routes = await read_routes(control, clock)
        route = declared.route(routes.table, queue)
        rollout, made = _because(*wish(stored.rollout, route, stored.now_ms), reason)
        if await write_rollout(control, rollout, (*stored.decisions, made), expected=stored.version):
            if made.route:
                await set_route(control, declared, rollout, made, clock, who=who)
            await change_listed(control, lambda listed: listed.including(queue))
            return rollout, made
    msg = f"the roll-out of queue {queue} was not changed: others change it all the time; try again"
    raise RolloutError(msg)


def _because(rollout: Rollout, made: Decision, reason: str) -> tuple[Rollout, Decision]:
    """Return both with the reason that people gave, behind what the decision says."""
    if not reason:
        return rollout, made
    made = msgspec.structs.replace(made, text=f"{made.text}: {storable(reason, MAX_WHY)}")
    return msgspec.structs.replace(rollout, decision=made), made
