"""Roll-outs and their decisions as plain values for JSON, and as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway.routing.keeping import StoredRollout
    from headway.routing.rollout.rollout import Decision


def decision_text(made: Decision) -> str:
    """Return what was decided, in one line."""
    text = f": {made.text}" if made.text else ""
    by = f" (by {made.who})" if made.who else ""
    return f"{made.act}, {made.reason}{text}{by}"


def decision_fields(made: Decision) -> dict[str, Any]:
    """Return a decision for JSON, with the figures that it rests on."""
    from msgspec import to_builtins

    from headway.cli.render import iso

    return {
        "number": made.number,
        "at": iso(made.at_ms),
        "act": str(made.act),
        "reason": str(made.reason),
        "text": made.text,
        "percent": made.percent,
        "who": made.who,
        "needed": made.needed,
        "needed_ms": made.needed_ms,
        "judgements": [
            {
                "guard": str(one.guard),
                "verdict": str(one.verdict),
                "value": one.value,
                "limit": one.limit,
                "jobs": one.jobs,
                "other": one.other,
                "needed": one.needed,
            }
            for one in made.judgements
        ],
        "weights": to_builtins(dict(made.route)) if made.route else None,
    }


def rollout_fields(stored: StoredRollout) -> dict[str, Any]:
    """Return a roll-out for JSON."""
    from headway.cli.render import iso

    rollout = stored.rollout
    return {
        "queue": rollout.plan.queue,
        "to": rollout.plan.to,
        "status": str(rollout.status),
        "percent": rollout.percent,
        "step": rollout.step + 1,
        "steps": list(rollout.plan.steps),
        "started": iso(rollout.started_ms),
        "looked": iso(rollout.looked_ms),
        "by_hand": rollout.by_hand,
        "route_in_force": not rollout.unconfirmed,
        "decision": decision_fields(rollout.decision),
    }
