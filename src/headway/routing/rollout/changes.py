"""The ways in which a decision changes a roll-out: to the next step, back, or only what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headway.routing.rollout.rollout import Act, Decision, Reason, Rollout, Status, stepped
from headway.routing.routes import Route

if TYPE_CHECKING:
    from headway.routing.rollout.judgement import Judgement


def changed(rollout: Rollout, **fields: Any) -> Rollout:  # noqa: ANN401 - the fields of a roll-out
    """Return the roll-out with these fields."""
    return msgspec.structs.replace(rollout, **fields)


def decision(
    rollout: Rollout,
    act: Act,
    reason: Reason,
    now_ms: int,
    text: str,
    *,
    judgements: tuple[Judgement, ...] = (),
    who: str = "",
    route: Route | None = None,
) -> Decision:
    """Return the next decision; `route` is what is to be set, None when it stays."""
    return Decision(
        rollout.decision.number + 1,
        act,
        reason,
        now_ms,
        (route or rollout.route).weights.get(rollout.plan.to, 0),
        text,
        judgements,
        route.runs if route else (),
        who=who,
    )


def decided(rollout: Rollout, made: Decision, **fields: Any) -> tuple[Rollout, Decision]:  # noqa: ANN401 - as `changed`
    """Return the roll-out after a decision that leaves the route as it is."""
    return changed(rollout, decision=made, **fields), made


def routed(rollout: Rollout, made: Decision, in_force: Route, **fields: Any) -> tuple[Rollout, Decision]:  # noqa: ANN401 - as `changed`
    """Return the roll-out after a decision that sets a route in place of the one in force."""
    fields |= {"runs": made.route, "was": in_force.runs, "was_by": in_force.by, "unconfirmed": True}
    return changed(rollout, decision=made, **fields), made


def forward(
    rollout: Rollout,
    reason: Reason,
    now_ms: int,
    *,
    judgements: tuple[Judgement, ...] = (),
    who: str = "",
) -> tuple[Rollout, Decision]:
    """Go to the next step, or complete it after the last.

    The evidence goes on from step to step; the time and the jobs of a step count anew.
    """
    plan = rollout.plan
    if rollout.last_step:
        text = f"{plan.queue} to {plan.to}: {rollout.percent} %"
        made = decision(rollout, Act.COMPLETE, reason, now_ms, text, judgements=judgements, who=who)
        return decided(rollout, made, status=Status.COMPLETED)
    percent = plan.steps[rollout.step + 1]
    target = stepped(rollout.route, plan.to, percent)
    text = f"{plan.queue} to {plan.to}: {rollout.percent} -> {percent} %"
    made = decision(rollout, Act.ADVANCE, reason, now_ms, text, judgements=judgements, who=who, route=target)
    return routed(
        rollout,
        made,
        rollout.route,
        step=rollout.step + 1,
        spent_ms=0,
        base=rollout.last,
        watches={guard: watch.next_step() for guard, watch in rollout.watches.items()},
    )


def back(
    rollout: Rollout,
    status: Status,
    in_force: Route,
    text: str,
    now_ms: int,
    *,
    judgements: tuple[Judgement, ...] = (),
    who: str = "",
) -> tuple[Rollout, Decision]:
    """Go back to the route of before the roll-out, in one change: it is then over, as rolled back or aborted."""
    before = Route(rollout.plan.queue, rollout.before, rollout.by)
    reason = Reason.ASKED if status is Status.ABORTED else Reason.BROKEN
    made = decision(
        rollout, Act.ROLL_BACK, reason, now_ms, text, judgements=judgements, who=who, route=before
    )
    return routed(rollout, made, in_force, status=status, by_hand=False)
