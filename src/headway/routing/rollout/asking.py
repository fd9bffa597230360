"""What people ask of a roll-out that runs: to pause, to go on, to go to the next step, to go back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import HeadwayError
from headway.routing.rollout.changes import back, changed, decided, decision, forward, routed
from headway.routing.rollout.rollout import Act, Decision, Reason, Rollout, Status

if TYPE_CHECKING:
    from headway.routing.routes import Route


class RolloutError(HeadwayError, ValueError):
    """A roll-out cannot do what it was asked for in its present state."""


def pause(rollout: Rollout, now_ms: int, who: str = "") -> tuple[Rollout, Decision]:
    """Keep it at this step until it is resumed; a broken limit still rolls it back. RolloutError when it is over."""
    _check_not_over(rollout, "pause")
    text = f"at {rollout.percent} %"
    return decided(
        rollout,
        decision(rollout, Act.PAUSE, Reason.ASKED, now_ms, text, who=who),
        status=Status.PAUSED,
    )


def resume(rollout: Rollout, in_force: Route, now_ms: int, who: str = "") -> tuple[Rollout, Decision]:
    """Go on; a route in force that was changed by hand is set to this step's again.

    RolloutError when it is not paused.
    """
    _check_not_over(rollout, "resume")
    if rollout.status is not Status.PAUSED:
        msg = f"cannot resume the roll-out of {rollout.plan.queue}: it is not paused"
        raise RolloutError(msg)
    rollout = changed(rollout, status=Status.RUNNING)
    if not rollout.by_hand or in_force == rollout.route:
        text = f"at {rollout.percent} %"
        made = decision(rollout, Act.HOLD, Reason.ASKED, now_ms, text, who=who)
        return decided(rollout, made, by_hand=False)
    text = f"{rollout.plan.queue} to {rollout.plan.to}: {rollout.percent} % again"
    made = decision(rollout, Act.RESTORE, Reason.ASKED, now_ms, text, who=who, route=rollout.route)
    return routed(rollout, made, in_force, by_hand=False)


def promote(rollout: Rollout, now_ms: int, who: str = "") -> tuple[Rollout, Decision]:
    """Go to the next step now, or complete it after the last, whatever has been measured; also from a pause.

    RolloutError when it is over, or its route is not the one in force: then there is nothing to go on from.
    """
    _check_not_over(rollout, "promote")
    if rollout.unconfirmed or rollout.by_hand:
        why = "was changed by hand" if rollout.by_hand else "is not in force yet"
        msg = f"cannot promote the roll-out of {rollout.plan.queue}: the route of its step {why}; resume it first"
        raise RolloutError(msg)
    return forward(changed(rollout, status=Status.RUNNING), Reason.ASKED, now_ms, who=who)


def abort(rollout: Rollout, in_force: Route, now_ms: int, who: str = "") -> tuple[Rollout, Decision]:
    """Go back to the route of before, at once. RolloutError when it is over."""
    _check_not_over(rollout, "abort")
    text = f"{rollout.plan.queue}: back to the route of before"
    return back(rollout, Status.ABORTED, in_force, text, now_ms, who=who)


def _check_not_over(rollout: Rollout, what: str) -> None:
    if rollout.status.over:
        msg = f"cannot {what} the roll-out of {rollout.plan.queue}: it is {rollout.status}"
        raise RolloutError(msg)
