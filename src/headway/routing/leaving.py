"""What becomes of the jobs that wait on the new side when a roll-out has gone back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import ConfigError
from headway.routing.moving import move_waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import Store
    from headway.routing.rollout.plan import Plan
    from headway.routing.rollout.rollout import Rollout


def check_leaving(plan: Plan, carriers: Mapping[str, Store]) -> None:
    """ConfigError when waiting jobs are to be moved back by a carrier that cannot give them away."""
    if plan.waiting == "move" and plan.to in carriers and carriers[plan.to].capabilities.mover is None:
        msg = f"roll-out of {plan.queue}: carrier {plan.to} cannot give waiting jobs back; let them run there"
        raise ConfigError(msg)


async def leave(rollout: Rollout, carriers: Mapping[str, Store]) -> str:
    """Do what the plan says with jobs that wait on the side that was left; return what was done, empty: nothing.

    It may be interrupted, and done twice at once.
    """
    plan = rollout.plan
    before = rollout.route.weights
    if not rollout.status.over or rollout.status.completed or plan.to not in carriers:
        return ""
    match plan.waiting:
        case "run":
            return ""
        case "move":
            goal = max((name for name in before if name != plan.to), key=lambda name: before[name])
            done = await move_waiting(carriers, plan.queue, plan.to, goal)
            refused = f", {len(done.refused)} are refused there and stay" if done.refused else ""
            return f"{done.moved} waiting jobs moved back from {plan.to} to {goal}{refused}"
        case "stay":
            if before.get(plan.to):
                return f"jobs on {plan.to} go on: the route of before has a share of it"
            await carriers[plan.to].pause(plan.queue)
            return f"paused on {plan.to}: its waiting jobs stay until headway queues resume {plan.queue}"
