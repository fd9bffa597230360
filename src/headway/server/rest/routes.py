"""Routes and roll-outs by HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headway.server.rest.jobs import Why
from headway.server.rest.operation import Call, Reply, operation
from headway.server.services.rollouts import Begin, DecisionView, RolloutAct, RolloutView
from headway.server.services.routes import RoutesView, RouteWish


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """How many versions."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Versions(Struct, frozen=True):
    """Versions of the routes, the present one first."""

    versions: list[RoutesView]


class RollBack(Struct, frozen=True, forbid_unknown_fields=True):
    """To which version, and why."""

    version: Annotated[int, Meta(ge=1, le=2**53)]
    reason: Annotated[str, Meta(max_length=1000)] = ""


class RolloutList(Struct, frozen=True):
    """Roll-outs under way, by queue."""

    rollouts: list[RolloutView]


class Decisions(Struct, frozen=True):
    """Decisions of a roll-out, the first one first."""

    decisions: list[DecisionView]


@operation(answer=RoutesView)
async def show_routes(call: Call) -> Reply:
    """Show which carriers take the new jobs of each queue."""
    return Reply(await call.state.services.routes.show(call.caller))


@operation(query=HistoryQuery, answer=Versions)
async def routes_history(call: Call) -> Reply:
    """Return the last versions of the routes: who changed what, when and why."""
    return Reply(Versions(await call.state.services.routes.history(call.caller, call.query.limit)))


@operation(
    body=RouteWish, answer=RoutesView, example={"weights": {"main": 75, "push": 25}, "reason": "a quarter"}
)
async def set_route(call: Call) -> Reply:
    """Set which percentage of a queue's new jobs each carrier takes, and what is copied to another one (`shadow`).

    With neither weights nor `shadow` it is as the settings declare it.

    Jobs that wait stay where they are. A change follows on the last one when that has settled, 4 s after it.
    """
    return Reply(await call.state.services.routes.set(call.caller, call.path["queue"], call.body))


@operation(body=RollBack, answer=RoutesView, example={"version": 3})
async def roll_back_routes(call: Call) -> Reply:
    """Take the routes of an earlier version, as a new one."""
    given: RollBack = call.body
    return Reply(await call.state.services.routes.roll_back(call.caller, given.version, given.reason))


@operation(answer=RolloutList)
async def list_rollouts(call: Call) -> Reply:
    """List the roll-outs that are under way."""
    return Reply(RolloutList(await call.state.services.rollouts.list(call.caller)))


@operation(answer=RolloutView)
async def get_rollout(call: Call) -> Reply:
    """Return the last roll-out of a queue."""
    return Reply(await call.state.services.rollouts.get(call.caller, call.path["queue"]))


@operation(answer=Decisions)
async def rollout_history(call: Call) -> Reply:
    """Return the decisions of a queue's last roll-out, with the figures that they rest on."""
    return Reply(Decisions(await call.state.services.rollouts.history(call.caller, call.path["queue"])))


@operation(
    body=Begin,
    answer=RolloutView,
    status=201,
    example={"to": "push", "max_error_rate": "1%", "max_p95": "5s"},
)
async def begin_rollout(call: Call) -> Reply:
    """Begin to move a queue to another carrier, step by step, guarded by its limits."""
    return Reply(await call.state.services.rollouts.begin(call.caller, call.path["queue"], call.body))


@operation(body=Why, answer=RolloutView, body_optional=True)
async def pause_rollout(call: Call) -> Reply:
    """Keep a roll-out at its step; a broken limit still rolls it back."""
    return await _act(call, RolloutAct.PAUSE)


@operation(body=Why, answer=RolloutView, body_optional=True)
async def resume_rollout(call: Call) -> Reply:
    """Go on with a paused roll-out."""
    return await _act(call, RolloutAct.RESUME)


@operation(body=Why, answer=RolloutView, body_optional=True)
async def promote_rollout(call: Call) -> Reply:
    """Go to the next step now, whatever has been measured."""
    return await _act(call, RolloutAct.PROMOTE)


@operation(body=Why, answer=RolloutView, body_optional=True)
async def abort_rollout(call: Call) -> Reply:
    """Go back to the route of before the roll-out, at once."""
    return await _act(call, RolloutAct.ABORT)


async def _act(call: Call, act: RolloutAct) -> Reply:
    reason = call.body.reason if call.body is not None else ""
    return Reply(await call.state.services.rollouts.act(call.caller, call.path["queue"], act, reason))
